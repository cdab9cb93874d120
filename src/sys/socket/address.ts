/** Socket addresses as text and as bytes. */

/** The address that a socket is bound or connected to. */
export type SocketAddress = { readonly kind: "unix"; readonly path: string } | TcpAddress;

/** A TCP address. */
export interface TcpAddress {
  readonly kind: "tcp";
  /** Empty: all addresses of the parent instance for a server, the local host for a client. */
  readonly host: string;
  readonly port: number;
  /** The only family to use; undefined: both, where the host allows it. */
  readonly family?: "ipv4" | "ipv6" | undefined;
}

/** Returns the only family that QEMU's ipv4= and ipv6= leave; `on` for one alone excludes the other. */
export function addressFamily(ipv4: boolean | undefined, ipv6: boolean | undefined): TcpAddress["family"] {
  if (ipv6 === false || (ipv4 && !ipv6)) return "ipv4";
  return ipv4 === false || (ipv6 && !ipv4) ? "ipv6" : undefined;
}

/** Returns an address in QEMU's form: `unix:PATH`, `tcp:HOST:PORT`. */
export function addressText(address: SocketAddress): string {
  if (address.kind === "unix") return `unix:${address.path}`;
  return `tcp:${address.host.includes(":") ? `[${address.host}]` : address.host}:${address.port}`;
}

/** Returns the bytes of an IPv4 address; undefined for other text. */
export function ipv4Bytes(host: string): number[] | undefined {
  const parts = host.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) < 256))
    return undefined;
  return parts.map(Number);
}

/** Returns the bytes of an IPv6 address; undefined for other text. */
export function ipv6Bytes(host: string): number[] | undefined {
  const halves = host.split("::");
  if (!host.includes(":") || halves.length > 2) return undefined;
  const groups = halves.map((half) => (half === "" ? [] : half.split(":")));
  const [head = [], tail = []] = groups;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const all = [...head, ...Array<string>(halves.length === 1 ? 0 : missing).fill("0"), ...tail];
  if (!all.every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return undefined;
  return all.flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff]);
}

/** Whether a host is an address. Names are not resolved, because resolving can block. */
export function isNumericHost(host: string): boolean {
  return (
    host === "" ||
    host === "0" ||
    host === "localhost" ||
    ipv4Bytes(host) !== undefined ||
    ipv6Bytes(host) !== undefined
  );
}
