"""The system calls of Linux that a submission's process may make, and those that it may not, with their numbers.

A row is `name number number`: on x86_64, on aarch64; "-" where a machine does not have the call. What is in no table is
refused like what is in REFUSED, only its name is not known then.
"""

MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # as seccomp tells them apart
NEWEST = 480  # numbers above this are calls that did not exist when this was written

_ALLOWED = """
stat 4 -, lstat 6 -, newfstatat 262 79, statx 332 291, access 21 -, faccessat 269 48, faccessat2 439 439,
statfs 137 43, readlink 89 -, readlinkat 267 78, chdir 80 49,
read 0 63, write 1 64, close 3 57, lseek 8 62, fstat 5 80, fstatfs 138 44, pread64 17 67, pwrite64 18 68,
readv 19 65, writev 20 66, preadv 295 69, pwritev 296 70, preadv2 327 286, pwritev2 328 287, getdents 78 -,
getdents64 217 61, getcwd 79 17, fchdir 81 50, ftruncate 77 46, fallocate 285 47, fsync 74 82, fdatasync 75 83,
sync_file_range 277 84, flock 73 32, fadvise64 221 223, copy_file_range 326 285, sendfile 40 71, umask 95 166,
dup 32 23, dup2 33 -, dup3 292 24, close_range 436 436, pipe 22 -, pipe2 293 59, eventfd 284 -, eventfd2 290 19,
poll 7 -, ppoll 271 73, select 23 -, pselect6 270 72, epoll_create 213 -, epoll_create1 291 20, epoll_ctl 233 21,
epoll_wait 232 -, epoll_pwait 281 22, epoll_pwait2 441 441,
mmap 9 222, mprotect 10 226, munmap 11 215, brk 12 214, madvise 28 233, mremap 25 216, msync 26 227, mincore 27 232,
mbind 237 235,
rt_sigaction 13 134, rt_sigprocmask 14 135, rt_sigreturn 15 139, rt_sigpending 127 136, rt_sigtimedwait 128 137,
rt_sigsuspend 130 133, sigaltstack 131 132, pause 34 -, alarm 37 -, getitimer 36 102, setitimer 38 103,
restart_syscall 219 128, nanosleep 35 101, clock_nanosleep 230 115, clock_gettime 228 113, clock_getres 229 114,
gettimeofday 96 169, time 201 -, times 100 153,
getpid 39 172, getppid 110 173, gettid 186 178, getuid 102 174, geteuid 107 175, getgid 104 176, getegid 108 177,
getresuid 118 148, getresgid 120 150, getgroups 115 158, getpgrp 111 -, getpgid 121 155, getsid 124 156,
uname 63 160, sysinfo 99 179, getrusage 98 165, getrlimit 97 163, setrlimit 160 164, getcpu 309 168,
getpriority 140 141, sched_yield 24 124, sched_getaffinity 204 123, sched_getparam 143 121,
sched_getscheduler 145 120, sched_get_priority_max 146 125, sched_get_priority_min 147 126, futex 202 98,
set_tid_address 218 96, set_robust_list 273 99, get_robust_list 274 100, rseq 334 293, membarrier 324 283,
arch_prctl 158 -, getrandom 318 278, exit 60 93, exit_group 231 94, wait4 61 260, waitid 247 95
"""

_ON_PATHS = """
open 2 -, openat 257 56, creat 85 -, mkdir 83 -, mkdirat 258 34, rmdir 84 -, unlink 87 -, unlinkat 263 35,
rename 82 -, renameat 264 38, renameat2 316 276
"""

_REFUSED = {
    "starting a process or a thread": """
        clone 56 220, clone3 435 435, fork 57 -, vfork 58 -""",
    "starting a program": """
        execve 59 221, execveat 322 281""",
    "opening a socket": """
        socket 41 198, socketpair 53 199, connect 42 203, bind 49 200""",
    "signalling another process": """
        kill 62 129, tkill 200 130, tgkill 234 131, pidfd_open 434 434, pidfd_send_signal 424 424,
        rt_sigqueueinfo 129 138, rt_tgsigqueueinfo 297 240""",
    "reaching into another process": """
        ptrace 101 117, process_vm_readv 310 270, process_vm_writev 311 271, process_madvise 440 440, kcmp 312 272,
        pidfd_getfd 438 438""",
    "changing how processes run": """
        prlimit64 302 261, prctl 157 167, sched_setaffinity 203 122, sched_setscheduler 144 119,
        sched_setparam 142 118, sched_setattr 314 274, setpriority 141 140, ioprio_set 251 30""",
    "leaving its session": """
        setsid 112 157, setpgid 109 154""",
    "controlling a device or a file": """
        ioctl 16 29, fcntl 72 25, sendmsg 46 211""",
    "making a link or a special file": """
        link 86 -, linkat 265 37, symlink 88 -, symlinkat 266 36, mknod 133 -, mknodat 259 33""",
    "changing a file's attributes": """
        chmod 90 -, fchmod 91 52, fchmodat 268 53, chown 92 -, lchown 94 -, fchown 93 55, fchownat 260 54,
        utime 132 -, utimes 235 -, futimesat 261 -, utimensat 280 88, truncate 76 45, setxattr 188 5,
        lsetxattr 189 6, fsetxattr 190 7, removexattr 197 14, lremovexattr 198 15, fremovexattr 199 16""",
    "opening a file by its handle": """
        name_to_handle_at 303 264, open_by_handle_at 304 265, openat2 437 437""",
    "changing its user or rights": """
        setuid 105 146, setgid 106 144, setgroups 116 159, setreuid 113 145, setregid 114 143, setresuid 117 147,
        setresgid 119 149, setfsuid 122 151, setfsgid 123 152, capset 126 91, personality 135 92""",
    "administering the system": """
        setns 308 268, unshare 272 97, chroot 161 51, pivot_root 155 41, mount 165 40, umount2 166 39,
        reboot 169 142, syslog 103 116, sethostname 170 161""",
    "sharing memory or messages": """
        shmget 29 194, shmat 30 196, shmctl 31 195, semget 64 190, semop 65 193, semctl 66 191, msgget 68 186,
        msgsnd 69 189, msgrcv 70 188, mq_open 240 180, memfd_create 319 279, memfd_secret 447 447""",
    "using the kernel's keys": """
        add_key 248 217, request_key 249 218, keyctl 250 219""",
    "giving the kernel a program": """
        bpf 321 280, io_uring_setup 425 425, io_uring_enter 426 426, perf_event_open 298 241, userfaultfd 323 282,
        seccomp 317 277, landlock_restrict_self 446 446""",
}


def numbers(machine: str) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """(allowed, on paths, refused): the calls' numbers by name.

    allowed: whatever the arguments.   on paths: calls that open or change what has a path: allowed too, Landlock judges
    them, and the grader is told of them.   refused: `seccomp.py` makes exceptions for some arguments.
    """
    everything = [_ALLOWED, _ON_PATHS, ",".join(_REFUSED.values())]
    allowed, on_paths, refused = (_read(rows, machine) for rows in everything)
    return allowed, on_paths, refused


def names(machine: str) -> dict[int, str]:
    """What a refused call is called, in words and by its name: {41: "opening a socket (socket)"}."""
    return {
        number: f"{words} ({name})" for words, rows in _REFUSED.items() for name, number in _read(rows, machine).items()
    }


def _read(rows, machine):
    column = 1 + list(MACHINES).index(machine)
    calls = [row.split() for row in rows.split(",")]
    return {call[0]: int(call[column]) for call in calls if call[column] != "-"}
