/*
 * Machine code that runs on threads without a JavaScript runtime, and in signal handlers: aarch64, AAPCS64. A system
 * call changes no register but x0. routines.ts holds the assembled bytes and says why neither a Bun worker nor io_uring
 * can do this; call-table.ts has the layout of the table. test/unit/sys/routines.test.ts assembles this file and
 * compares.
 */
	.text

/*
 * void *call_loop(void *table): makes the system calls of a table until none is left, one has failed, or a stop is
 * requested; then writes one byte to the descriptor in the head. Several threads may run it on the same table. A call
 * that returns -EINTR is repeated. The offsets are those of call-table.ts: a head of 64 bytes, then 56 bytes a call.
 */
call_loop:
	bti	c
	mov	x9, x0
next:
	ldr	x10, [x9, #16]			/* head.stop */
	cbnz	x10, done
claim:
	ldaxr	x11, [x9]			/* index = head.next++ */
	add	x12, x11, #1
	stlxr	w13, x12, [x9]
	cbnz	w13, claim
	ldr	x12, [x9, #8]			/* head.calls */
	cmp	x11, x12
	b.cs	done
	mov	x12, #56
	madd	x12, x11, x12, x9		/* the call, less the head */
again:
	ldr	x8, [x12, #64]			/* number */
	ldr	x0, [x12, #72]			/* arguments */
	ldr	x1, [x12, #80]
	ldr	x2, [x12, #88]
	ldr	x3, [x12, #96]
	svc	#0
	tbz	x0, #63, succeeded
	cmn	x0, #4				/* -EINTR */
	b.ne	failed
	ldr	x10, [x9, #16]
	cbz	x10, again
	b	done
succeeded:
	add	x14, x12, #112			/* result */
	stlr	x0, [x14]
	add	x14, x9, #32			/* head.done */
	ldr	x11, [x12, #104]		/* bytes */
count:
	ldaxr	x10, [x14]
	add	x10, x10, x11
	stlxr	w13, x10, [x14]
	cbnz	w13, count
	b	next
failed:
	str	x0, [x9, #24]			/* head.failure */
	mov	x10, #1
	str	x10, [x9, #16]
done:
	ldr	x0, [x9, #40]			/* head.finished */
	add	x1, x9, #48
	mov	x2, #1
	mov	x8, #64				/* __NR_write */
	svc	#0
	mov	x0, #0
	ret
call_loop_end:

/*
 * void signal_handler(int signal): writes the number of the signal, one byte, to a descriptor. The descriptor is the
 * 16-bit operand of the instruction at signal_handler_fd, which is filled in when the code is installed.
 */
signal_handler:
	bti	c
	str	x0, [sp, #-16]!
	mov	x1, sp
signal_handler_fd:
	movz	w0, #0
	mov	x2, #1
	mov	x8, #64				/* __NR_write */
	svc	#0
	add	sp, sp, #16
	ret
signal_handler_end:
