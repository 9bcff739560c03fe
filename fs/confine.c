/*
 * The rulesets are made once, by main, and applied by each thread to itself as
 * the first thing it does (net/sync's trampoline). A thread that is started by
 * one of its own kind has inherited everything: a layer more each time would
 * come to Landlock's limit of 16, because links start links.
 */
#include "confine.h"

#include <assert.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"
#include "sanitized.h"

/* Of later headers than those we may be built with. */
#define ACCESS_TRUNCATE  (UINT64_C(1) << 14) /* ABI 3 */
#define ACCESS_IOCTL_DEV (UINT64_C(1) << 15) /* ABI 5 */

/* Without REFER, no rename between directories could be allowed. */
enum { ABI_LEAST = 2, ABI_TRUNCATE = 3, ABI_IOCTL_DEV = 5 };

#define READS \
	((uint64_t)(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR))
#define SPECIAL                                    \
	((uint64_t)(LANDLOCK_ACCESS_FS_MAKE_CHAR | \
		    LANDLOCK_ACCESS_FS_MAKE_SOCK | \
		    LANDLOCK_ACCESS_FS_MAKE_FIFO | \
		    LANDLOCK_ACCESS_FS_MAKE_BLOCK))
#define CHANGES                                                              \
	((uint64_t)(LANDLOCK_ACCESS_FS_WRITE_FILE |                          \
		    LANDLOCK_ACCESS_FS_REMOVE_DIR |                          \
		    LANDLOCK_ACCESS_FS_REMOVE_FILE |                         \
		    LANDLOCK_ACCESS_FS_MAKE_DIR |                            \
		    LANDLOCK_ACCESS_FS_MAKE_REG |                            \
		    LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_REFER | \
		    ACCESS_TRUNCATE))

enum kind { OUTSIDE, RECEIVING, NETWORK, KINDS };

static const struct {
	const char *thread;
	enum kind kind;
} confined[] = {
	{ "in", RECEIVING },
	{ "inbox", RECEIVING },
	{ "listen", RECEIVING }, /* "in" inherits what it has */
	{ "discovery", NETWORK },
	{ "keeper", NETWORK },
	{ "link", NETWORK },
	{ "pair", NETWORK },
	{ "probe", NETWORK },
};

/* Written by main before the first thread; the rest only read it. */
static struct {
	int ruleset[KINDS];
	int abi;
	char why_not[64];
} prepared = { .ruleset = { -1, -1, -1 }, .why_not = "not prepared" };

/* The errno of the first thread that could not be confined. */
static _Atomic int failed;

/* --- seccomp ---------------------------------------------------------------
 */

#if defined(__x86_64__) && !defined(__ILP32__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#endif

#if defined(ARCH) && !SANITIZED
#define HAVE_FILTER 1

/* What no thread of ours calls, and an intruder would begin with. */
static const unsigned short denied[] = {
	SYS_execve,
	SYS_execveat,
	SYS_ptrace,
	SYS_process_vm_readv,
	SYS_process_vm_writev,
	SYS_pidfd_getfd,
	SYS_mount,
	SYS_umount2,
	SYS_pivot_root,
	SYS_chroot,
	SYS_move_mount,
	SYS_open_tree,
	SYS_fsopen,
	SYS_fsconfig,
	SYS_fsmount,
	SYS_fspick,
	SYS_mount_setattr,
	SYS_setns,
	SYS_unshare,
	SYS_bpf,
	SYS_perf_event_open,
	SYS_kexec_load,
	SYS_kexec_file_load,
	SYS_init_module,
	SYS_finit_module,
	SYS_delete_module,
	SYS_add_key,
	SYS_request_key,
	SYS_keyctl,
	SYS_open_by_handle_at,
	SYS_userfaultfd,
	SYS_io_uring_setup,
	SYS_io_uring_enter,
	SYS_io_uring_register,
	SYS_personality,
};

/* Calls of x32 have this bit, and the architecture of x86-64. */
#define X32_BIT 0x40000000u

static int deny_calls(void)
{
	enum { N = sizeof(denied) / sizeof(*denied), HEAD = 4 };
	struct sock_filter filter[HEAD + N + 2] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		    offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 0, N + 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		    offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, N + 1, 0),
		[HEAD + N] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		[HEAD + N + 1] =
		    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
	};
	const struct sock_fprog program = { HEAD + N + 2, filter };

	for (unsigned i = 0; i < N; i++)
		filter[HEAD + i] = (struct sock_filter)BPF_JUMP(
		    BPF_JMP | BPF_JEQ | BPF_K, denied[i], N - i, 0);
	/* Without that flag older kernels slow the thread down. */
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
		   SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program)
		   ? -errno
		   : 0;
}
#else
#define HAVE_FILTER 0

static int deny_calls(void)
{
	return 0;
}
#endif

/* --- Landlock --------------------------------------------------------------
 */

/* What a ruleset of this kind decides on; the rest stays as it is. */
static uint64_t handled_by(enum kind kind, int abi)
{
	uint64_t handled = CHANGES | SPECIAL;

	if (!SANITIZED)
		handled |= LANDLOCK_ACCESS_FS_EXECUTE;
	if (!SANITIZED && kind == RECEIVING)
		handled |= READS;
	if (abi < ABI_TRUNCATE)
		handled &= ~ACCESS_TRUNCATE;
	if (abi >= ABI_IOCTL_DEV)
		handled |= ACCESS_IOCTL_DEV;
	return handled;
}

static int allow_beneath(int ruleset, int dir_fd, uint64_t access)
{
	const struct landlock_path_beneath_attr beneath = {
		.allowed_access = access,
		.parent_fd = dir_fd,
	};

	return syscall(SYS_landlock_add_rule, ruleset,
		   LANDLOCK_RULE_PATH_BENEATH, &beneath, 0)
		   ? -errno
		   : 0;
}

/* The descriptor of a ruleset (close-on-exec), or -errno. */
static int make_ruleset(enum kind kind, int abi, int inbox_fd, int state_fd)
{
	const uint64_t handled = handled_by(kind, abi);
	const struct landlock_ruleset_attr attr = {
		.handled_access_fs = handled,
	};
	int r, fd = (int)syscall(
		   SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);

	if (fd < 0)
		return -errno;
	r = allow_beneath(fd, state_fd, handled & (READS | CHANGES));
	if (!r && kind == RECEIVING)
		r = allow_beneath(fd, inbox_fd, handled & (READS | CHANGES));
	if (!r)
		return fd;
	close(fd);
	return r;
}

void confine_prepare(int inbox_fd, int state_fd)
{
	int r = 0, abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0,
		       LANDLOCK_CREATE_RULESET_VERSION);

	prepared.abi = abi;
	if (abi < 0)
		r = -errno;
	else if (abi < ABI_LEAST)
		r = -EOPNOTSUPP;
	for (enum kind kind = RECEIVING; kind < KINDS && r >= 0; kind++)
		prepared.ruleset[kind] = r =
		    make_ruleset(kind, abi, inbox_fd, state_fd);
	if (r >= 0) {
		prepared.why_not[0] = '\0';
		return;
	}
	snprintf(prepared.why_not, sizeof(prepared.why_not), "Landlock: %s",
	    strerror(-r));
	log_info("threads are not confined: %s", prepared.why_not);
}

/* --- threads ---------------------------------------------------------------
 */

static enum kind kind_of(const char *thread)
{
	for (size_t i = 0; i < sizeof(confined) / sizeof(*confined); i++)
		if (!strcmp(confined[i].thread, thread))
			return confined[i].kind;
	return OUTSIDE;
}

void confine_thread(const char *name, const char *by)
{
	enum kind kind = kind_of(name), inherited = kind_of(by);
	int r = 0, none = 0;

	assert(kind != OUTSIDE || inherited == OUTSIDE);
	if (prepared.why_not[0] || kind == OUTSIDE || kind == inherited)
		return;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    syscall(SYS_landlock_restrict_self, prepared.ruleset[kind], 0))
		r = -errno;
	if (!r && inherited == OUTSIDE)
		r = deny_calls();
	if (r && atomic_compare_exchange_strong(&failed, &none, -r))
		log_warning(
		    "thread %s is not confined: %s", name, strerror(-r));
}

void confine_state(char ret[CONFINE_STATE_MAX])
{
	int error = atomic_load(&failed);

	if (prepared.why_not[0])
		snprintf(ret, CONFINE_STATE_MAX, "none (%s)", prepared.why_not);
	else if (error)
		snprintf(ret, CONFINE_STATE_MAX,
		    "none (a thread could not: %s)", strerror(error));
	else
		snprintf(ret, CONFINE_STATE_MAX, "landlock %d, no_new_privs%s",
		    prepared.abi, HAVE_FILTER ? ", seccomp" : "");
}
