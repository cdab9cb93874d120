/** Small images for tests of the emulated parent itself. */

/**
 * The smallest kernel that a PC boots as Linux: its real-mode part (Documentation/arch/x86/boot.rst) prints a line on
 * the first serial port, waits a little, then resets the machine.
 */
export function tinyKernel(): Uint8Array {
  const kernel = new Uint8Array(2048);
  const view = new DataView(kernel.buffer);
  kernel[0x1f1] = 1; // setup_sects
  view.setUint16(0x1fe, 0xaa55, true); // boot_flag
  kernel.set([0xeb, 0x66], 0x200); // a jump to 0x268
  kernel.set(new TextEncoder().encode("HdrS"), 0x202);
  view.setUint16(0x206, 0x020c, true); // version
  kernel[0x211] = 1; // loadflags: LOADED_HIGH
  view.setUint32(0x22c, 0x7fffffff, true); // initrd_addr_max
  const text = 0x100; // from the code segment's start, which is at 0x200
  // mov dx,0x3f8; mov si,text; again: cs lodsb; test al,al; jz done; out dx,al; jmp again
  kernel.set(
    [0xba, 0xf8, 0x03, 0xbe, text & 0xff, text >> 8, 0x2e, 0xac, 0x84, 0xc0, 0x74, 0x03, 0xee, 0xeb, 0xf7],
    0x268,
  );
  // done: mov ecx,0x4000000; wait: dec ecx; jnz wait; mov al,0xfe; out 0x64,al; stay: hlt; jmp stay
  kernel.set(
    [0x66, 0xb9, 0, 0, 0, 4, 0x66, 0x49, 0x75, 0xfc, 0xb0, 0xfe, 0xe6, 0x64, 0xf4, 0xeb, 0xfd],
    0x277,
  );
  kernel.set(new TextEncoder().encode("Init: UP and away\n"), 0x200 + text);
  return kernel;
}

/** Returns a complete, tiny EIF with a kernel of the given length; with 0, one that boots. */
export function tinyImage(kernelBytes: number): Uint8Array {
  const sections: [type: number, payload: Uint8Array][] = [
    [1, kernelBytes === 0 ? tinyKernel() : new Uint8Array(kernelBytes).fill(0x90)],
    [2, new TextEncoder().encode("console=ttyS0 reboot=k")],
    [3, new Uint8Array(1000).fill(7)],
    [5, new TextEncoder().encode("{}")],
  ];
  const total = sections.reduce((sum, [, payload]) => sum + 12 + payload.length, 548);
  const image = new Uint8Array(total);
  const view = new DataView(image.buffer);
  image.set(new TextEncoder().encode(".eif"));
  view.setUint16(4, 4);
  view.setUint16(26, sections.length);
  let at = 548;
  sections.forEach(([type, payload], index) => {
    view.setBigUint64(28 + 8 * index, BigInt(at));
    view.setBigUint64(284 + 8 * index, BigInt(payload.length));
    view.setUint16(at, type);
    view.setBigUint64(at + 4, BigInt(payload.length));
    image.set(payload, at + 12);
    at += 12 + payload.length;
  });
  view.setUint32(544, Bun.hash.crc32(image.subarray(548), Bun.hash.crc32(image.subarray(0, 544))));
  return image;
}
