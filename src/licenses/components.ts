/**
 * What the executable contains in addition to nitro's own code: the packages of npm that are bundled, the runtime, and
 * the libraries that the runtime links. The list of these libraries is that of Bun's LICENSE.md; their revisions are
 * those that the runtime reports (process.versions), where it reports one.
 */
import { dependencies } from "../../package.json" with { type: "json" };

/** A part of the executable that has an author and a licence of its own. */
export interface Component {
  readonly name: string;
  /** A version or the revision of its source; undefined where the runtime does not report it. */
  readonly version?: string | undefined;
  /** An SPDX licence expression. */
  readonly license: string;
  readonly copyright: string;
  /** Where its source is published. */
  readonly source: string;
  /** The package of npm. */
  readonly npm?: boolean;
}

const revisions: Readonly<Record<string, string | undefined>> = process.versions;

/** The packages that build.ts bundles. */
const PACKAGES: readonly Component[] = [
  {
    name: "cborg",
    version: dependencies.cborg,
    license: "Apache-2.0",
    copyright: "2020 Rod Vagg",
    source: "https://github.com/rvagg/cborg",
    npm: true,
  },
  {
    name: "citty",
    version: dependencies.citty,
    license: "MIT",
    copyright: "Pooya Parsa",
    source: "https://github.com/unjs/citty",
    npm: true,
  },
  {
    name: "zod",
    version: dependencies.zod,
    license: "MIT",
    copyright: "2025 Colin McDonnell",
    source: "https://github.com/colinhacks/zod",
    npm: true,
  },
  {
    name: "spdx-license-list",
    version: dependencies["spdx-license-list"],
    license: "CC0-1.0",
    copyright: "none; its author has waived it",
    source: "https://github.com/sindresorhus/spdx-license-list",
    npm: true,
  },
];

const BUN = "https://github.com/oven-sh/bun";

/** The runtime, and the libraries in it that have a name and a licence of their own. */
const RUNTIME: readonly Component[] = [
  { name: "bun", version: Bun.version, license: "MIT", copyright: "Oven, Inc.", source: BUN },
  {
    name: "JavaScriptCore (WebKit)",
    version: revisions["webkit"],
    license: "LGPL-2.0-or-later AND BSD-2-Clause",
    copyright: "Apple Inc. and the WebKit contributors",
    source: "https://github.com/oven-sh/WebKit",
  },
  {
    name: "tinycc",
    version: revisions["tinycc"],
    license: "LGPL-2.1-or-later",
    copyright: "Fabrice Bellard and contributors",
    source: "https://github.com/tinycc/tinycc",
  },
  {
    name: "BoringSSL",
    version: revisions["boringssl"],
    license: "Apache-2.0 AND ISC AND OpenSSL AND MIT AND BSD-3-Clause",
    copyright: "The OpenSSL Project Authors, Eric Young, Google Inc., Intel Corporation",
    source: "https://boringssl.googlesource.com/boringssl",
  },
  {
    name: "ICU",
    version: revisions["icu"],
    license: "Unicode-3.0",
    copyright: "2016-2025 Unicode, Inc.; International Business Machines Corporation",
    source: "https://github.com/unicode-org/icu",
  },
  {
    name: "mimalloc",
    version: revisions["mimalloc"],
    license: "MIT",
    copyright: "2018-2025 Microsoft Corporation, Daan Leijen",
    source: "https://github.com/microsoft/mimalloc",
  },
  {
    name: "libarchive",
    version: revisions["libarchive"],
    license: "BSD-2-Clause",
    copyright: "2003-2018 Tim Kientzle and contributors",
    source: "https://github.com/libarchive/libarchive",
  },
  {
    name: "lol-html",
    version: revisions["lolhtml"],
    license: "BSD-3-Clause",
    copyright: "2019 Cloudflare, Inc.",
    source: "https://github.com/cloudflare/lol-html",
  },
  {
    name: "ls-hpack",
    version: revisions["lshpack"],
    license: "MIT",
    copyright: "2018-2023 LiteSpeed Technologies Inc",
    source: "https://github.com/litespeedtech/ls-hpack",
  },
  {
    name: "ls-qpack",
    license: "MIT",
    copyright: "2018-2023 LiteSpeed Technologies Inc",
    source: "https://github.com/litespeedtech/ls-qpack",
  },
  {
    name: "lsquic",
    license: "MIT AND BSD-3-Clause",
    copyright: "2017-2023 LiteSpeed Technologies Inc; 2015 The Chromium Authors",
    source: "https://github.com/litespeedtech/lsquic",
  },
  {
    name: "picohttpparser",
    version: revisions["picohttpparser"],
    license: "MIT",
    copyright: "2009-2014 Kazuho Oku, Tokuhiro Matsuno, Daisuke Murase, Shigeo Mitsunari",
    source: "https://github.com/h2o/picohttpparser",
  },
  {
    name: "llhttp",
    version: revisions["llhttp"],
    license: "MIT",
    copyright: "2018 Fedor Indutny",
    source: "https://github.com/nodejs/llhttp",
  },
  {
    name: "zstd",
    version: revisions["zstd"],
    license: "BSD-3-Clause",
    copyright: "Meta Platforms, Inc. and affiliates",
    source: "https://github.com/facebook/zstd",
  },
  {
    name: "zlib-ng",
    version: revisions["zlib"],
    license: "Zlib",
    copyright: "1995-2024 Jean-loup Gailly and Mark Adler, and the zlib-ng team",
    source: "https://github.com/zlib-ng/zlib-ng",
  },
  {
    name: "brotli",
    license: "MIT",
    copyright: "2009, 2010, 2013-2016 the Brotli Authors",
    source: "https://github.com/google/brotli",
  },
  {
    name: "libdeflate",
    version: revisions["libdeflate"],
    license: "MIT",
    copyright: "2016 Eric Biggers",
    source: "https://github.com/ebiggers/libdeflate",
  },
  {
    name: "c-ares",
    version: revisions["ares"],
    license: "MIT",
    copyright: "1998 Massachusetts Institute of Technology; 2007-2023 Daniel Stenberg",
    source: "https://github.com/c-ares/c-ares",
  },
  {
    name: "uSockets",
    version: revisions["usockets"],
    license: "Apache-2.0",
    copyright: "Alex Hultman and contributors",
    source: "https://github.com/uNetworking/uSockets",
  },
  {
    name: "uWebSockets",
    version: revisions["uwebsockets"],
    license: "Apache-2.0",
    copyright: "Alex Hultman and contributors",
    source: "https://github.com/jarred-sumner/uwebsockets",
  },
  {
    name: "simdutf",
    license: "Apache-2.0",
    copyright: "2021 The simdutf authors",
    source: "https://github.com/simdutf/simdutf",
  },
  {
    name: "highway",
    license: "Apache-2.0",
    copyright: "The Highway Project Authors",
    source: "https://github.com/google/highway",
  },
  {
    name: "base64",
    license: "BSD-2-Clause",
    copyright:
      "2005-2007 Nick Galbreath; 2015-2018 Wojciech Muła; 2016-2017 Matthieu Darbois; 2013-2022 Alfred Klomp",
    source: "https://github.com/aklomp/base64",
  },
  {
    name: "libjpeg-turbo",
    license: "BSD-3-Clause AND IJG AND Zlib",
    copyright: "2009-2024 D. R. Commander; 2015 Viktor Szathmáry; 1991-2020 Thomas G. Lane, Guido Vollbeding",
    source: "https://github.com/libjpeg-turbo/libjpeg-turbo",
  },
  {
    name: "libspng",
    license: "BSD-2-Clause",
    copyright: "2018-2023 Randy",
    source: "https://github.com/randy408/libspng",
  },
  {
    name: "libwebp",
    license: "BSD-3-Clause",
    copyright: "2010 Google Inc.",
    source: "https://github.com/webmproject/libwebp",
  },
  {
    name: "SQLite",
    version: revisions["sqlite"],
    license: "blessing",
    copyright: "none; SQLite is in the public domain",
    source: "https://sqlite.org",
  },
  {
    name: "uucode",
    license: "MIT",
    copyright: "Jacob Sandlund",
    source: "https://github.com/jacobsandlund/uucode",
  },
  {
    name: "TigerBeetle (parts of its I/O code)",
    license: "Apache-2.0",
    copyright: "TigerBeetle, Inc.",
    source: "https://github.com/tigerbeetle/tigerbeetle",
  },
  {
    name: "LLVM libc++abi (__cxa_thread_atexit)",
    license: "Apache-2.0 WITH LLVM-exception",
    copyright: "the LLVM project",
    source: "https://github.com/llvm/llvm-project",
  },
  {
    name: "Node.js polyfills of the runtime",
    license: "MIT",
    copyright:
      "the authors of acorn, assert, browserify-zlib, buffer, events, punycode, url, util and others",
    source: `${BUN}/blob/main/LICENSE.md`,
  },
];

/** All components. */
export const COMPONENTS: readonly Component[] = [...PACKAGES, ...RUNTIME];
