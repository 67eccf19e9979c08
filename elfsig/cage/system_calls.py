"""System calls by machine: name, then the numbers on x86_64, by the generic table, on ppc64, on s390x.

Generic: aarch64, riscv64 and loongarch64 (include/uapi/asm-generic/unistd.h). The others have tables of their
own: arch/x86/entry/syscalls/syscall_64.tbl, arch/powerpc/kernel/syscalls/syscall.tbl,
arch/s390/kernel/syscalls/syscall.tbl. ``-`` where a machine does not have the call.
"""

from __future__ import annotations

COLUMNS = ("x86_64", "generic", "ppc64", "s390x")

HARMLESS = """
read 0 63 3 3
write 1 64 4 4
close 3 57 6 6
fstat 5 80 108 108
newfstatat 262 79 291 293
stat 4 - 106 106
lstat 6 - 107 107
statx 332 291 383 379
lseek 8 62 19 19
mmap 9 222 90 90
mprotect 10 226 125 125
munmap 11 215 91 91
brk 12 214 45 45
mremap 25 216 163 163
madvise 28 233 205 219
rt_sigaction 13 134 173 174
rt_sigprocmask 14 135 174 175
rt_sigreturn 15 139 172 173
sigaltstack 131 132 185 186
pread64 17 67 179 180
pwrite64 18 68 180 181
readv 19 65 145 145
writev 20 66 146 146
preadv 295 69 320 328
pwritev 296 70 321 329
access 21 - 33 33
faccessat 269 48 298 300
faccessat2 439 439 439 439
dup 32 23 41 41
dup2 33 - 63 63
dup3 292 24 316 326
flock 73 32 143 143
getdents64 217 61 202 220
getcwd 79 17 182 183
readlink 89 - 85 85
readlinkat 267 78 296 298
uname 63 160 122 122
nanosleep 35 101 162 162
clock_nanosleep 230 115 248 262
clock_gettime 228 113 246 260
clock_getres 229 114 247 261
gettimeofday 96 169 78 78
time 201 - 13 -
getrusage 98 165 77 77
times 100 153 43 43
getpid 39 172 20 20
getppid 110 173 64 64
gettid 186 178 207 236
getuid 102 174 24 199
geteuid 107 175 49 201
getgid 104 176 47 200
getegid 108 177 50 202
getgroups 115 158 80 205
getpgid 121 155 132 132
getpgrp 111 - 65 65
getsid 124 156 147 147
sysinfo 99 179 116 116
getrlimit 97 163 76 191
futex 202 98 221 238
sched_yield 24 124 158 158
sched_getaffinity 204 123 223 240
set_tid_address 218 96 232 252
set_robust_list 273 99 300 304
get_robust_list 274 100 299 305
arch_prctl 158 - - -
rseq 334 293 387 383
membarrier 324 283 365 356
poll 7 - 167 168
ppoll 271 73 281 302
select 23 - 82 142
pselect6 270 72 280 301
pipe 22 - 42 42
pipe2 293 59 317 325
eventfd2 290 19 314 323
epoll_create1 291 20 315 327
epoll_ctl 233 21 237 250
epoll_wait 232 - 238 251
epoll_pwait 281 22 303 312
getrandom 318 278 359 349
exit 60 93 1 1
exit_group 231 94 234 248
fadvise64 221 223 233 253
fstatfs 138 44 100 100
ftruncate 77 46 93 93
restart_syscall 219 128 0 7
"""
"""What reading, computing and allocating take: allowed, whatever their arguments are."""

CONDITIONAL = """
open 2 - 5 5
openat 257 56 286 288
clone 56 220 120 120
prlimit64 302 261 325 334
kill 62 129 37 37
tgkill 234 131 250 241
fcntl 72 25 55 55
ioctl 16 29 54 54
"""
"""Allowed with some arguments only."""

FORBIDDEN = """
execve 59 221 11 11
execveat 322 281 362 354
fork 57 - 2 2
vfork 58 - 189 190
socket 41 198 326 359
socketpair 53 199 333 360
connect 42 203 328 362
bind 49 200 327 361
listen 50 201 329 363
accept 43 202 330 -
accept4 288 242 344 364
sendto 44 206 335 369
sendmsg 46 211 341 370
sendmmsg 307 269 349 358
recvfrom 45 207 337 371
recvmsg 47 212 342 372
recvmmsg 299 243 343 357
ptrace 101 117 26 26
process_vm_readv 310 270 351 340
process_vm_writev 311 271 352 341
process_madvise 440 440 440 440
pidfd_open 434 434 434 434
pidfd_getfd 438 438 438 438
pidfd_send_signal 424 424 424 424
creat 85 - 8 8
mkdir 83 - 39 39
mkdirat 258 34 287 289
mknod 133 - 14 14
mknodat 259 33 288 290
unlink 87 - 10 10
unlinkat 263 35 292 294
rmdir 84 - 40 40
rename 82 - 38 38
renameat 264 38 293 295
renameat2 316 276 357 347
link 86 - 9 9
linkat 265 37 294 296
symlink 88 - 83 83
symlinkat 266 36 295 297
chmod 90 - 15 15
fchmod 91 52 94 94
fchmodat 268 53 297 299
chown 92 - 181 212
lchown 94 - 16 198
fchown 93 55 95 207
fchownat 260 54 289 291
truncate 76 45 92 92
setxattr 188 5 209 224
lsetxattr 189 6 210 225
fsetxattr 190 7 211 226
removexattr 197 14 218 233
lremovexattr 198 15 219 234
fremovexattr 199 16 220 235
utimensat 280 88 304 315
mount 165 40 21 21
umount2 166 39 52 52
move_mount 429 429 429 429
fsopen 430 430 430 430
fsconfig 431 431 431 431
fsmount 432 432 432 432
open_tree 428 428 428 428
mount_setattr 442 442 442 442
pivot_root 155 41 203 217
chroot 161 51 61 61
unshare 272 97 282 303
setns 308 268 350 339
bpf 321 280 361 351
perf_event_open 298 241 319 331
userfaultfd 323 282 364 355
io_uring_setup 425 425 425 425
io_uring_enter 426 426 426 426
io_uring_register 427 427 427 427
keyctl 250 219 271 280
add_key 248 217 269 278
request_key 249 218 270 279
init_module 175 105 128 128
finit_module 313 273 353 344
delete_module 176 106 129 129
kexec_load 246 104 268 277
kexec_file_load 320 294 382 381
reboot 169 142 88 88
swapon 167 224 87 87
swapoff 168 225 115 115
settimeofday 164 170 79 79
clock_settime 227 112 245 259
adjtimex 159 171 124 124
clock_adjtime 305 266 347 337
iopl 172 - 110 -
ioperm 173 - 101 -
setuid 105 146 23 213
setgid 106 144 46 214
setreuid 113 145 70 203
setregid 114 143 71 204
setresuid 117 147 164 208
setresgid 119 149 169 210
setgroups 116 159 81 206
setfsuid 122 151 138 215
setfsgid 123 152 139 216
capset 126 91 184 185
setrlimit 160 164 75 75
seccomp 317 277 358 348
name_to_handle_at 303 264 345 335
open_by_handle_at 304 265 346 336
rt_sigqueueinfo 129 138 177 178
rt_tgsigqueueinfo 297 240 322 330
"""
"""A process that makes one of these is ended: its file makes the reader do what no reader does."""


def numbers(table: str, column: str) -> dict[str, int]:
    """The calls of ``table`` that machines of ``column`` have, with their numbers."""
    rows = (line.split() for line in table.split("\n") if line)
    at = 1 + COLUMNS.index(column)
    return {row[0]: int(row[at]) for row in rows if row[at] != "-"}
