/** include/net/tcp_states.h: vsock sockets have the states of TCP. Data only. */
export const TCP_LISTEN = 10;
