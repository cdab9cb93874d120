/** One certificate in the forms that OpenSSL reads, and keys in those of EC; all made by OpenSSL. */
import { CURVES, type Curve, type Pair, type SigningPlace } from "./signing.ts";

const BOM = Uint8Array.of(0xef, 0xbb, 0xbf);
const FIRST = "-----BEGIN CERTIFICATE-----\n";
const LAST = "-----END CERTIFICATE-----\n";

function block(base64: string, label = "CERTIFICATE"): string {
  return `-----BEGIN ${label}-----\n${base64}\n-----END ${label}-----\n`;
}

/** Returns a certificate in other texts with the same content, by their names. */
export function textForms(here: SigningPlace, certificate: string): Record<string, Buffer> {
  const pem = Buffer.from(here.read(certificate)).toString();
  const base64 = pem.slice(FIRST.length, -LAST.length).trimEnd();
  const der = Buffer.from(here.der(certificate));
  const trusted = here.openssl("x509", "-in", certificate, "-addtrust", "serverAuth", "-trustout");
  const forms = {
    "with a UTF-8 byte order mark": Buffer.concat([BOM, Buffer.from(pem)]),
    "with a byte order mark and text before it": Buffer.concat([BOM, Buffer.from(`my certificate:\n${pem}`)]),
    "with text before and after it": `Bag Attributes: none\n\n${pem}\nthat was it\n`,
    "labelled X509 CERTIFICATE": pem.replaceAll("CERTIFICATE", "X509 CERTIFICATE"),
    "labelled TRUSTED CERTIFICATE": trusted,
    "with bytes after its DER": block(Buffer.concat([der, Buffer.from("abc")]).toString("base64")),
    "with another certificate after its DER": block(Buffer.concat([der, der]).toString("base64")),
    "with CRLF": pem.replaceAll("\n", "\r\n"),
    "on one line": block(base64.replaceAll("\n", "")),
    "with blanks": block(base64.replaceAll(/(....)/g, "$1 \t")).replaceAll("-----\n", "----- \n"),
    "with an empty line before its base64": block(`\n${base64}`),
    "without a newline at its end": pem.trimEnd(),
  };
  return Object.fromEntries(Object.entries(forms).map(([name, form]) => [name, Buffer.from(form)]));
}

/** Forms that cannot be read, and what the error says of each. */
export function unreadableForms(here: SigningPlace, certificate: string): Record<string, [Buffer, string]> {
  const pem = Buffer.from(here.read(certificate)).toString();
  const base64 = pem.slice(FIRST.length, -LAST.length);
  const indefinite = here.der(certificate).with(1, 0x80);
  const forms: Record<string, [Uint8Array | string, string]> = {
    "UTF-16": [Buffer.from(`\ufeff${pem}`, "utf16le"), "it is UTF-16"],
    "UTF-16 without a mark": [Buffer.from(pem, "utf16le"), "it is UTF-16"],
    DER: [here.der(certificate), "it looks like DER"],
    "indented lines": [pem.replaceAll(/^/gm, "  "), "its lines are indented"],
    "CR alone": [pem.replaceAll("\n", "\r"), "its lines end with CR alone"],
    "another label": [
      pem.replaceAll("CERTIFICATE", "CERTIFICATE REQUEST"),
      "only one of CERTIFICATE REQUEST",
    ],
    "two labels": [`${FIRST}${base64}-----END X509 CERTIFICATE-----\n`, "or it has another label"],
    "a header": [`${FIRST}Comment: x\n\n${base64}${LAST}`, "with a header (Comment: x)"],
    "an empty line within": [pem.replace(/\n(?=.*\n-----END)/, "\n\n"), "with an empty line in its base64"],
    BER: [block(Buffer.from(indefinite).toString("base64")), "in BER with an indefinite length"],
  };
  return Object.fromEntries(
    Object.entries(forms).map(([name, [form, why]]) => [name, [Buffer.from(form), why]]),
  );
}

/** How the key states its curve and its point. */
export const KEY_FORMS = {
  "a named curve": [[], []],
  "a compressed point": [[], ["-conv_form", "compressed"]],
  "a hybrid point": [[], ["-conv_form", "hybrid"]],
  "explicit parameters": [["-param_enc", "explicit"], []],
  "explicit parameters with a compressed generator": [
    ["-param_enc", "explicit"],
    ["-param_enc", "explicit", "-conv_form", "compressed"],
  ],
} as const;
export type KeyForm = keyof typeof KEY_FORMS;

/** Creates a key in a form with its certificate, valid from now on. */
export function pairInForm(here: SigningPlace, curve: Curve, form: KeyForm, subject = "/CN=form"): Pair {
  const name = `${curve}-${form.replaceAll(" ", "-")}`;
  const [key, certificate] = [here.path(`${name}.key`), here.path(`${name}.crt`)];
  const [created, converted] = KEY_FORMS[form];
  here.openssl("ecparam", "-name", CURVES[curve].openssl, ...created, "-genkey", "-noout", "-out", key);
  if (converted.length > 0) here.openssl("ec", "-in", key, ...converted, "-out", key);
  selfSigned(here, key, certificate, subject);
  return { key, certificate, curve };
}

/** Creates a key with a certificate that has no subject and no issuer, but an alternative name. */
export function pairWithoutName(here: SigningPlace): Pair {
  const [key, certificate] = [here.path("nameless.key"), here.path("nameless.crt")];
  here.openssl("ecparam", "-name", CURVES["P-384"].openssl, "-genkey", "-noout", "-out", key);
  selfSigned(here, key, certificate, "/", "-addext", "subjectAltName=DNS:enclave.example");
  return { key, certificate, curve: "P-384" };
}

function selfSigned(
  here: SigningPlace,
  key: string,
  certificate: string,
  subject: string,
  ...more: string[]
) {
  const about = ["-key", key, "-subj", subject, "-days", "3650", ...more];
  here.openssl("req", "-new", "-x509", ...about, "-out", certificate);
}
