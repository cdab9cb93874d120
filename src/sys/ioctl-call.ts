/** Calling an ioctl by its row: the payload is encoded, the answer decoded, a refusal named after the row. */
import type { Ioctl } from "./ioctl.ts";
import type { Fields, Values } from "./struct.ts";
import { checked, type System } from "./system.ts";
import { hex } from "./trace.ts";

/**
 * Calls ioctl(2) with a row's payload. `value` is what the kernel wrote back, or the payload itself where the row's
 * direction says that it writes nothing; `result` is the call's own (a descriptor, for those that make one).
 * Throws SyscallError named after the row.
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
  checked(system, row.name, result, () => `${fd}, {${fieldsText(value())}}`, "");
  return { result, value: value() };
}

function fieldsText(fields: object): string {
  const text = (value: unknown) =>
    typeof value === "bigint" && value > 0xffffffffn ? hex(value) : String(value);
  return Object.entries(fields)
    .map(([name, value]) => `${name}=${text(value)}`)
    .join(", ");
}
