"""The system calls that an answer may make. Any other fails as if the system did not have it.

The list holds what Python, torch and a Jupyter kernel need: files, memory, processes, threads,
sockets within the machine, time and signals. Missing on purpose is what reaches other processes or
the system (tracing, mounting, namespaces, modules, io_uring, bpf), what keeps something for another
run (keyrings), what tells two runs of each other that share a file (notifications, what lies in the
page cache), and memory that no limit counts (memfd, System V). A lock on a file, which would tell
two runs of each other as well, is granted to whoever asks, and keeps nobody out: databases ask for
one.

libseccomp makes the filter; without it or its binding pyseccomp there is none.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from functools import cache

FILES = """
access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2
fadvise64 fallocate fchdir fchmod fchmodat fchown fchownat fdatasync fgetxattr flistxattr fstat
fstatfs fsync ftruncate getcwd getdents getdents64 getxattr ioctl lchown lgetxattr link linkat
listxattr llistxattr lseek lstat mkdir mkdirat mknod mknodat newfstatat open openat openat2 pread64
preadv pwrite64 pwritev read readahead readlink readlinkat readv rename renameat renameat2 rmdir
sendfile splice stat statfs statx symlink symlinkat sync_file_range tee truncate umask unlink
unlinkat utime utimensat utimes write writev
""".split()
MEMORY = """
brk get_mempolicy madvise membarrier mlock mlock2 mmap mprotect mremap msync munlock munmap
pkey_alloc pkey_free pkey_mprotect
""".split()
PROCESSES = """
arch_prctl capget execve execveat exit exit_group fork futex futex_waitv get_robust_list
get_thread_area getcpu getegid geteuid getgid getgroups getpgid getpgrp getpid getppid getpriority
getresgid getresuid getrlimit getrusage getsid gettid getuid kill pidfd_open pidfd_send_signal prctl
prlimit64 rseq sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr
sched_getparam sched_getscheduler sched_setparam sched_setscheduler sched_yield
set_robust_list set_thread_area set_tid_address setgid setgroups setpgid setpriority setregid
setresgid setresuid setreuid setrlimit setsid setuid sysinfo tgkill times tkill uname vfork wait4
waitid
""".split()
SIGNALS_AND_TIME = """
alarm clock_getres clock_gettime clock_nanosleep getitimer gettimeofday nanosleep pause
restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
rt_sigtimedwait rt_tgsigqueueinfo setitimer sigaltstack signalfd signalfd4 time timer_create
timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime
timerfd_settime
""".split()
WAITING_AND_TALKING = """
accept accept4 bind connect epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait
eventfd eventfd2 getpeername getrandom getsockname getsockopt listen pipe pipe2 poll ppoll pselect6
recvfrom recvmmsg recvmsg select sendmmsg sendmsg sendto setsockopt shutdown
""".split()
# Commands of fcntl: copies of descriptors, their flags and owners; no locks, leases and notes.
OF_DESCRIPTORS = (0, 1, 2, 3, 4, 8, 9, 10, 11, 15, 16, 1030, 1032)
LOCKS = (6, 7, 37, 38)  # commands of fcntl
NEW_NAMESPACES = 0x7E020080  # flags of clone
UNIX, NETLINK, ROUTES = 1, 16, 0  # sockets in files; to list the network's interfaces


@cache
def call_filter() -> object | None:
    """The filter, not yet in force; None where libseccomp or its binding is not installed."""
    try:
        import pyseccomp as seccomp
    except (ImportError, RuntimeError, OSError):  # no binding; no library
        return None
    rules = seccomp.SyscallFilter(seccomp.ERRNO(errno.ENOSYS))
    with suppress(OSError, ValueError):  # an older library has no binary tree, and works
        rules.set_attr(seccomp.Attr.CTL_OPTIMIZE, 2)

    def allow(name: str, *conditions: object) -> None:
        with suppress(ValueError, OSError):  # this processor, or the library, does not know it
            rules.add_rule(seccomp.ALLOW, name, *conditions)

    for name in (*FILES, *MEMORY, *PROCESSES, *SIGNALS_AND_TIME, *WAITING_AND_TALKING):
        allow(name)
    allow("clone", seccomp.Arg(0, seccomp.MASKED_EQ, NEW_NAMESPACES, 0))
    for command in OF_DESCRIPTORS:
        allow("fcntl", seccomp.Arg(1, seccomp.EQ, command))
    granted = seccomp.ERRNO(0)
    rules.add_rule(granted, "flock")
    for command in LOCKS:
        rules.add_rule(granted, "fcntl", seccomp.Arg(1, seccomp.EQ, command))
    allow("socket", seccomp.Arg(0, seccomp.EQ, UNIX))
    allow("socket", seccomp.Arg(0, seccomp.EQ, NETLINK), seccomp.Arg(2, seccomp.EQ, ROUTES))
    allow("socketpair", seccomp.Arg(0, seccomp.EQ, UNIX))
    return rules


def give_up_system_calls() -> bool:
    """From now on this process makes no other system calls than those above, nor does what it
    starts. Returns whether there is such a filter; raises OSError where it cannot be set.
    """
    rules = call_filter()
    if rules is None:
        return False
    rules.load()
    return True
