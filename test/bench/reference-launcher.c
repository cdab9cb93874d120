/*
 * A reference for the bench: the system calls of a nitro launch in C and nothing else. It maps huge pages, reads the
 * kernel and the ramdisk straight into place, computes the CRC-32 with zlib, donates the memory, starts the enclave and
 * waits until it exits.
 *
 *     reference-launcher MEMORY_MIB KERNEL INITRD COMMAND_LINE
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <linux/vm_sockets.h>
#include <zlib.h>

/* include/uapi/linux/nitro_enclaves.h; spelled out because the header may be missing */
#define CREATE_VM 0x8008AE20UL
#define ADD_VCPU 0xC004AE21UL
#define GET_IMAGE_LOAD_INFO 0xC010AE22UL
#define SET_USER_MEMORY_REGION 0x4018AE23UL
#define START_ENCLAVE 0xC010AE24UL

static uint8_t *image, *at;
static uint32_t crc;

static void big(uint8_t *to, uint64_t value, int bytes)
{
	while (bytes--) {
		to[bytes] = (uint8_t)value;
		value >>= 8;
	}
}

static void add_to_crc(const uint8_t *from, size_t size)
{
	crc = crc32_z(crc, from, size);
}

/* Writes a section header and its payload; a file is read into place. */
static void section(int index, int type, const char *path, const char *text)
{
	int fd = -1;
	uint64_t size = text ? strlen(text) : 0, done = 0;

	if (path) {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			err(1, "%s", path);
		size = (uint64_t)lseek(fd, 0, SEEK_END);
	}
	big(image + 28 + 8 * index, (uint64_t)(at - image), 8);
	big(image + 284 + 8 * index, size, 8);
	big(at, (uint64_t)type, 2);
	big(at + 2, 0, 2);
	big(at + 4, size, 8);
	at += 12;
	while (path && done < size) {
		ssize_t got = pread(fd, at + done, size - done, (off_t)done);
		if (got <= 0)
			err(1, "read %s", path);
		done += (uint64_t)got;
	}
	if (text)
		memcpy(at, text, size);
	if (fd >= 0)
		close(fd);
	at += size;
}

int main(int argc, char **argv)
{
	if (argc != 5)
		errx(2, "usage: reference-launcher MEMORY_MIB KERNEL INITRD COMMAND_LINE");
	size_t size = strtoul(argv[1], NULL, 10) << 20;
	int device = open("/dev/nitro_enclaves", O_RDWR | O_CLOEXEC);
	if (device < 0)
		err(1, "open");
	int listener = socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_vm any = { .svm_family = AF_VSOCK, .svm_port = 9000, .svm_cid = VMADDR_CID_ANY };
	if (listener < 0 || bind(listener, (struct sockaddr *)&any, sizeof any) || listen(listener, 128))
		err(1, "vsock");
	uint64_t slot, load[2] = { 1, 0 };
	int enclave = ioctl(device, CREATE_VM, &slot);
	if (enclave < 0 || ioctl(enclave, GET_IMAGE_LOAD_INFO, load))
		err(1, "create");
	int file = memfd_create("enclave", MFD_CLOEXEC | MFD_HUGETLB | (21U << 26));
	if (file < 0 || ftruncate(file, (off_t)size))
		err(1, "memfd");
	uint8_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (memory == MAP_FAILED || fallocate(file, 0, 0, (off_t)size))
		err(1, "mmap");
	image = memory + load[1];
	memcpy(image, ".eif", 4);
	big(image + 4, 4, 2);
#ifdef __aarch64__
	big(image + 6, 1, 2);
#endif
	big(image + 26, 4, 2);
	at = image + 548;
	section(0, 1, argv[2], NULL);
	section(1, 2, NULL, argv[4]);
	section(2, 3, argv[3], NULL);
	section(3, 5, NULL, "{}");
	add_to_crc(image, 544);
	add_to_crc(image + 548, (size_t)(at - image) - 548);
	big(image + 544, crc, 4);
	uint64_t region[3] = { 0, size, (uint64_t)(uintptr_t)memory };
	if (ioctl(enclave, SET_USER_MEMORY_REGION, region))
		err(1, "donate");
	for (int i = 0; i < 2; i++) {
		uint32_t cpu = 0;
		if (ioctl(enclave, ADD_VCPU, &cpu))
			err(1, "vcpu");
	}
	uint64_t start[2] = { 1, 0 };
	if (ioctl(enclave, START_ENCLAVE, start))
		err(1, "start");
	struct pollfd end = { .fd = enclave };
	poll(&end, 1, -1);
	return 0;
}
