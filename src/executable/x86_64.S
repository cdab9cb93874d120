/*
 * Machine code that build.ts adds to the runtime: x86_64, System V ABI. entry-check.ts and engine-options.ts hold the
 * assembled bytes and say what for; the tests of test/unit/executable assemble this file and compare.
 */
	.intel_syntax noprefix
	.text

/*
 * Compares the program that is stored in the executable with what the build stored, then continues at the runtime's own
 * entry point with the registers of the start: rdx has the dynamic loader's exit function, rsp the arguments.
 */
entry_check:
	endbr64
	mov	r8, rdx
	lea	r9, [rip + expected]
	mov	rax, [r9]
	mov	rbx, [rax]
	cmp	rbx, [r9 + 8]			/* the runtime finds the program */
	jne	changed
	mov	edi, -1				/* rt_sigprocmask(-1, ending, NULL, 8) fails: EINVAL, */
	mov	rsi, [r9 + 24]			/* or EFAULT if the file ends before it */
	xor	edx, edx
	mov	r10d, 8
	mov	eax, 14
	syscall
	cmp	rax, -14
	je	changed
	mov	rax, [rbx]
	cmp	rax, [r9 + 16]			/* its length */
	jne	changed
	lea	rdi, [r9 + 32]
	mov	ecx, 6
	cld
	repe cmpsq				/* its last 48 bytes */
	jne	changed
	mov	rdx, r8
	jmp	[r9 + 80]
changed:
	mov	edi, 2				/* write(STDERR_FILENO, message, length) */
	lea	rsi, [rip + message]
	mov	rdx, [r9 + 88]
	mov	eax, 1
	syscall
	mov	edi, 1				/* exit_group(EXIT_FAILURE) */
	mov	eax, 231
	syscall
	ud2
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
	push	rbx
	lea	rbx, [rip + options]
next_option:
	mov	rdi, rbx
	mov	esi, 1				/* check that the options agree with each other */
	call	[rip + set_option]
	test	al, al
	je	unknown
skip:
	inc	rbx
	cmp	byte ptr [rbx - 1], 0
	jne	skip
	cmp	byte ptr [rbx], 0
	jne	next_option
	pop	rbx
	ret
unknown:
	ud2
	.balign	8
set_option:
	.quad	0				/* the address of the engine's function */
options:					/* strings, and an empty one behind them */
