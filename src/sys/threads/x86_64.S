/*
 * Machine code that runs on threads without a JavaScript runtime, and in signal handlers: x86_64, System V ABI.
 * routines.ts holds the assembled bytes and says why neither a Bun worker nor io_uring can do this; call-table.ts has
 * the layout of the table. test/unit/sys/routines.test.ts assembles this file and compares.
 */
	.intel_syntax noprefix
	.text

/*
 * void *call_loop(void *table): makes the system calls of a table until none is left, one has failed, or a stop is
 * requested; then writes one byte to the descriptor in the head. Several threads may run it on the same table. A call
 * that returns -EINTR is repeated. The offsets are those of call-table.ts: a head of 64 bytes, then 56 bytes a call.
 */
call_loop:
	endbr64
	push	rbx
	mov	rbx, rdi
next:
	cmp	qword ptr [rbx + 16], 0		/* head.stop */
	jne	done
	mov	eax, 1
	lock xadd [rbx], rax			/* index = head.next++ */
	cmp	rax, [rbx + 8]			/* head.calls */
	jae	done
	imul	rax, rax, 56
	lea	r8, [rbx + rax + 64]		/* the call */
again:
	mov	rax, [r8]			/* number */
	mov	rdi, [r8 + 8]			/* arguments */
	mov	rsi, [r8 + 16]
	mov	rdx, [r8 + 24]
	mov	r10, [r8 + 32]
	syscall
	test	rax, rax
	jns	succeeded
	cmp	rax, -4				/* -EINTR */
	jne	failed
	cmp	qword ptr [rbx + 16], 0
	je	again
	jmp	done
succeeded:
	mov	[r8 + 48], rax			/* result */
	mov	rax, [r8 + 40]			/* bytes */
	lock add [rbx + 32], rax		/* head.done */
	jmp	next
failed:
	mov	[rbx + 24], rax			/* head.failure */
	mov	qword ptr [rbx + 16], 1
done:
	mov	rdi, [rbx + 40]			/* head.finished */
	lea	rsi, [rbx + 48]
	mov	edx, 1
	mov	eax, 1				/* __NR_write */
	syscall
	xor	eax, eax
	pop	rbx
	ret
call_loop_end:

/*
 * void signal_handler(int signal): writes the number of the signal, one byte, to a descriptor. The descriptor is the
 * operand at signal_handler_fd, which is filled in when the code is installed.
 */
signal_handler:
	endbr64
	push	rdi
	mov	rsi, rsp
	.byte	0xbf				/* mov edi, imm32 */
signal_handler_fd:
	.long	0
	mov	edx, 1
	mov	eax, 1				/* __NR_write */
	syscall
	pop	rdi
	ret
signal_handler_end:
