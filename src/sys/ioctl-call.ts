/** Calls an ioctl: encodes the payload, decodes the answer, and names a failure after the ioctl. */
import type { Ioctl } from "./ioctl.ts";
import type { Fields, Values } from "./struct.ts";
import { checked, type System } from "./system.ts";
import { hex } from "./trace.ts";

/**
 * Calls ioctl(2). `value` is what the kernel wrote back, or the payload if the ioctl only reads it; `result` is the
 * return value (a descriptor, for ioctls that create one). Throws SyscallError.
 */
export function callIoctl<F extends Fields>(
  system: System,
  fd: number,
  row: Ioctl<F>,
  payload: Values<F>,
): { result: number; value: Values<F> } {
  const bytes = row.payload.encode(payload);
  const result = system.libc.ioctl(fd, row.request, bytes);
  const value = () => (row.direction === "W" ? payload : row.payload.decode(bytes));
  checked(system, row.name, result, { args: () => `${fd}, {${fieldsText(value())}}` });
  return { result, value: value() };
}

function fieldsText(fields: object): string {
  const text = (value: unknown) =>
    typeof value === "bigint" && value > 0xffffffffn ? hex(value) : String(value);
  return Object.entries(fields)
    .map(([name, value]) => `${name}=${text(value)}`)
    .join(", ");
}
