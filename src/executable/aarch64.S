/*
 * The entry point of the executable: aarch64, AAPCS64. A system call changes no register but x0. entry-check.ts holds
 * the assembled bytes and says what for; test/unit/executable/entry-check.test.ts assembles this file and compares.
 */
	.text

/*
 * Compares the program that is stored in the executable with what the build stored, then continues at the runtime's own
 * entry point with the registers of the start: x0 has the dynamic loader's exit function, sp the arguments.
 */
entry_check:
	bti	c
	mov	x9, x0
	adr	x10, expected
	ldp	x11, x12, [x10]
	ldr	x11, [x11]
	cmp	x11, x12			/* the runtime finds the program */
	b.ne	changed
	mov	x0, #-1				/* rt_sigprocmask(-1, ending, NULL, 8) fails: EINVAL, */
	ldr	x1, [x10, #24]			/* or EFAULT if the file ends before it */
	mov	x2, #0
	mov	x3, #8
	mov	x8, #135
	svc	#0
	cmn	x0, #14
	b.eq	changed
	ldr	x11, [x12]
	ldr	x12, [x10, #16]
	cmp	x11, x12			/* its length */
	b.ne	changed
	add	x13, x10, #32
	mov	x14, #6
compare:
	ldr	x11, [x1], #8
	ldr	x12, [x13], #8
	cmp	x11, x12			/* its last 48 bytes */
	b.ne	changed
	subs	x14, x14, #1
	b.ne	compare
	mov	x0, x9
	ldr	x16, [x10, #80]
	br	x16
changed:
	mov	x0, #2				/* write(STDERR_FILENO, message, length) */
	adr	x1, message
	ldr	x2, [x10, #88]
	mov	x8, #64
	svc	#0
	mov	x0, #1				/* exit_group(EXIT_FAILURE) */
	mov	x8, #94
	svc	#0
	udf	#0
	.balign	8
expected:
	.quad	0				/* where the runtime looks for the address of the program */
	.quad	0				/* that address; the program begins with its length */
	.quad	0				/* that length */
	.quad	0				/* the address of its last 48 bytes */
	.quad	0, 0, 0, 0, 0, 0		/* these bytes */
	.quad	0				/* the runtime's entry point */
	.quad	0				/* the length of the message */
message:
