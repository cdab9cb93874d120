/*
 * Machine code that build.ts adds to the runtime: aarch64, AAPCS64. A system call changes no register but x0.
 * entry-check.ts and engine-options.ts hold the assembled bytes and say what for; the tests of test/unit/executable
 * assemble this file and compare.
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
entry_check_end:

/*
 * void set_engine_options(void): passes each option to the engine's function for it, as the runtime does with variables
 * of the environment. It crashes if the engine does not know an option.
 */
set_engine_options:
	bti	c
	stp	x29, x30, [sp, #-32]!
	mov	x29, sp
	str	x19, [sp, #16]
	adr	x19, options
next_option:
	mov	x0, x19
	mov	w1, #1				/* check that the options agree with each other */
	ldr	x16, set_option
	blr	x16
	tbz	w0, #0, unknown
skip:
	ldrb	w9, [x19], #1
	cbnz	w9, skip
	ldrb	w9, [x19]
	cbnz	w9, next_option
	ldr	x19, [sp, #16]
	ldp	x29, x30, [sp], #32
	ret
unknown:
	udf	#0
	.balign	8
set_option:
	.quad	0				/* the address of the engine's function */
options:					/* strings, and an empty one behind them */
