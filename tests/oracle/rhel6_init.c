/*
 * The first program of a 2.6.32 kernel: gives every file /cases/NNNN to init_module(2), in their order, and
 * writes what came of it to the second serial port, in the form that report.py reads.
 *
 * It uses no C library, since today's need a later kernel. System calls are those of x86-64.
 */

typedef unsigned long word;

enum {
	SYS_READ = 0, SYS_WRITE = 1, SYS_OPEN = 2, SYS_CLOSE = 3, SYS_LSEEK = 8, SYS_MMAP = 9, SYS_MUNMAP = 11,
	SYS_IOCTL = 16, SYS_UNAME = 63, SYS_MKDIR = 83, SYS_SYSLOG = 103, SYS_MKNOD = 133, SYS_MOUNT = 165,
	SYS_REBOOT = 169, SYS_INIT_MODULE = 175, SYS_DELETE_MODULE = 176,
};

static long call(long number, word a, word b, word c, word d, word e, word f)
{
	register word r10 __asm__("r10") = d;
	register word r8 __asm__("r8") = e;
	register word r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall" : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

#define CALL(number, a, b, c) call(number, (word)(a), (word)(b), (word)(c), 0, 0, 0)

/* ------------------------------------------------------------------ the report */

static int port;
static char line[1 << 16];
static word used, lines, sum;

static void put(char c)
{
	if (used < sizeof line - 2)
		line[used++] = c;
}

static void put_text(const char *text)
{
	while (*text)
		put(*text++);
}

static void put_number(long value)
{
	char digits[24];
	int at = sizeof digits;

	do
		digits[--at] = '0' + value % 10;
	while (value /= 10);
	while (at < (int)sizeof digits)
		put(digits[at++]);
}

/* Ends a line. Each is written at once, so that a kernel that dies takes none with it. */
static void end_line(void)
{
	word at, done = 0;

	put('\n');
	for (at = 0; at < used; at++)
		sum += (unsigned char)line[at];
	lines++;
	while (done < used) {
		long wrote = CALL(SYS_WRITE, port, line + done, used - done);
		if (wrote <= 0)
			break;
		done += wrote;
	}
	used = 0;
}

static void start_line(const char *kind)
{
	put_text(kind);
	put('\t');
}

/* What the kernel logged since the last call, one line each, without its priority. */
static void put_log(const char *kind)
{
	static char log[1 << 20];
	long size = CALL(SYS_SYSLOG, 4, log, sizeof log), at = 0;

	while (at < size) {
		if (log[at] == '<' && at + 2 < size && log[at + 2] == '>')
			at += 3;
		if (kind)
			start_line(kind);
		for (; at < size && log[at] != '\n'; at++)
			if (kind)
				put(log[at] == '\t' ? ' ' : log[at]);
		if (kind)
			end_line();
		at++;
	}
}

/* ------------------------------------------------------------------ files and modules */

static long read_file(const char *path, char *into, word room)
{
	long file = CALL(SYS_OPEN, path, 0, 0), size = 0, got;

	if (file < 0)
		return -1;
	while ((got = CALL(SYS_READ, file, into + size, room - size)) > 0)
		size += got;
	CALL(SYS_CLOSE, file, 0, 0);
	return size;
}

/* Says which modules are loaded, and removes them. */
static void put_loaded(void)
{
	static char list[1 << 14];
	long size = read_file("/proc/modules", list, sizeof list - 1), at = 0, end;

	while (at < size) {
		for (end = at; end < size && list[end] != ' '; end++)
			;
		list[end] = 0;
		start_line("loaded");
		put_text(list + at);
		put_text("\t\t");
		put_number(-CALL(SYS_DELETE_MODULE, list + at, 04000, 0));
		end_line();
		for (at = end + 1; at < size && list[at - 1] != '\n'; at++)
			;
	}
}

/* Asks about one file; 0 where there is none of this number. */
static int ask(int number)
{
	char path[] = "/cases/0000", *digit = path + 10;
	long file, size, at = 0, got;
	char *data;

	for (got = number; got; got /= 10)
		*digit-- = '0' + got % 10;
	file = CALL(SYS_OPEN, path, 0, 0);
	if (file < 0)
		return 0;
	size = CALL(SYS_LSEEK, file, 0, 2);
	CALL(SYS_LSEEK, file, 0, 0);
	data = (char *)call(SYS_MMAP, 0, size + 1, 3, 0x22, -1, 0);	/* private and anonymous */
	while (at < size && (got = CALL(SYS_READ, file, data + at, size - at)) > 0)
		at += got;
	CALL(SYS_CLOSE, file, 0, 0);
	put_log(0);
	start_line("asking");
	put_text(path + 7);
	end_line();
	got = -CALL(SYS_INIT_MODULE, data, size, "");
	start_line("answer");
	put_text(path + 7);
	put('\t');
	put_number(got);
	end_line();
	put_log("log");
	put_loaded();
	CALL(SYS_MUNMAP, data, size + 1, 0);
	return 1;
}

static void start_report(void)
{
	static char names[6 * 65];
	int settings[16], at;

	call(SYS_MOUNT, (word)"proc", (word)"/proc", (word)"proc", 0, 0, 0);
	CALL(SYS_MKNOD, "/dev/report", 020600, 4 << 8 | 65);		/* ttyS1 */
	port = CALL(SYS_OPEN, "/dev/report", 2, 0);
	CALL(SYS_IOCTL, port, 0x5401, settings);			/* TCGETS; no output processing */
	settings[1] = 0;
	CALL(SYS_IOCTL, port, 0x5402, settings);
	put_text("\nbegin");
	end_line();
	lines = sum = 0;
	CALL(SYS_UNAME, names, 0, 0);
	start_line("release");
	put_text(names + 2 * 65);
	end_line();
	put_log("boot");
	start_line("mode");
	put_text("as-booted\tnone\t-");
	end_line();
	for (at = 0; ask(at); at++)
		;
}

void start(void)
{
	word total[2];

	start_report();
	total[0] = lines;
	total[1] = sum;
	start_line("end");
	put_number(total[0]);
	put('\t');
	put_number(total[1]);
	end_line();
	call(SYS_REBOOT, 0xfee1dead, 672274793, 0x1234567, 0, 0, 0);
	for (;;)
		;
}

__asm__(".globl _start\n_start: and $-16, %rsp\n call start\n");
