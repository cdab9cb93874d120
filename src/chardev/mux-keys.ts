/** The keys of a mux as its texts spell them. */

/** Returns QEMU's list of the keys. @param escapeByte the byte that starts a command. */
export function helpText(escapeByte: number): string {
  const key =
    escapeByte <= 26 ? `C-${String.fromCharCode(0x60 + escapeByte)}` : String.fromCharCode(escapeByte);
  return (
    `\n\r${key} h    print this help` +
    `\n\r${key} x    exit emulator` +
    `\n\r${key} s    save disk data back to file (if -snapshot)` +
    `\n\r${key} t    toggle console timestamps` +
    `\n\r${key} b    send break (magic sysrq)` +
    `\n\r${key} c    switch between console and monitor` +
    `\n\r${key} ${key}  sends ${key}\n\r`
  );
}

/** Returns the key of a byte as nitro's messages name it: Ctrl-A. */
export function keyToPress(byte: number): string {
  return byte <= 26 ? `Ctrl-${String.fromCharCode(0x40 + byte)}` : String.fromCharCode(byte);
}
