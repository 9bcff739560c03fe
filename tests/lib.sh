# Shared by tests/run, tests/demo and tests/lint: where things are, what they
# need installed, and how they say what they do. Sourced by bash.

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Always Debian's python3, whose modules come as packages: another one may
# come first in PATH.
PYTHON=/usr/bin/python3
export PATH="$PATH:/usr/sbin:/sbin"
export PYTHONDONTWRITEBYTECODE=1
export LC_ALL=C.UTF-8

SETUP_MOUNTS=()

say() {
	printf '%s\n' "$*"
}

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# One line a package: its name, how its presence is seen, and by what.
# Presence is looked for instead of asking dpkg, so that a machine that has
# these things otherwise, or is offline, needs nothing.
NEEDS_BUILD='
gcc                  command gcc
libc6-dev            file    /usr/include/stdio.h
meson                command meson
ninja-build          command ninja
pkg-config           command pkg-config
libfuse3-dev         pc      fuse3
libavahi-client-dev  pc      avahi-client
libsodium-dev        pc      libsodium
libxxhash-dev        pc      libxxhash
'
NEEDS_HOSTS='
fuse3                command fusermount3
dbus-daemon          command dbus-daemon
avahi-daemon         command avahi-daemon
iproute2             command ip
util-linux           command nsenter
procps               command ps
python3              file    /usr/bin/python3
'
NEEDS_TESTS='
libcmocka-dev        pc      cmocka
nftables             command nft
tcpdump              command tcpdump
rsync                command rsync
openssh-client       command scp
openssh-server       command sshd
python3-pytest       python  pytest
python3-pytest-xdist python  xdist
python3-cryptography python  cryptography
clang                command clang
libclang-rt-14-dev   glob    /usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a
clang-format         command clang-format
mandoc               command mandoc
groff-base           command groff
'
# The programs that tests/e2e/programs*.py runs.
NEEDS_PROGRAMS='
acl                  command setfacl
attr                 command setfattr
avahi-utils          command avahi-browse
binutils             command ar
curl                 command curl
ed                   command ed
git                  command git
libglib2.0-bin       command gio
nano                 command nano
patch                command patch
sox                  command sox
sqlite3              command sqlite3
unzip                command unzip
vim-tiny             command vim.tiny
wget                 command wget
xz-utils             command xz
zip                  command zip
inotify-tools        command inotifywait
thunar               command thunar
xfconf               command xfconf-query
xvfb                 command Xvfb
xdotool              command xdotool
xclip                command xclip
'

have() { # kind what
	case $1 in
	command) command -v "$2" >/dev/null ;;
	file) [ -e "$2" ] ;;
	glob) compgen -G "$2" >/dev/null ;;
	pc) command -v pkg-config >/dev/null && pkg-config --exists "$2" ;;
	python) "$PYTHON" -c "import $2" 2>/dev/null ;;
	esac
}

missing_packages() { # table
	local package kind what
	while read -r package kind what; do
		[ -z "$package" ] || have "$kind" "$what" || echo "$package"
	done <<<"$1"
}

# As root directly, otherwise through sudo where that asks nothing.
as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
		sudo -n "$@"
	else
		return 126
	fi
}

can_be_root() {
	as_root true 2>/dev/null
}

# Nothing that is installed for the tests may start to run: neither a daemon
# in a chroot, where nobody would stop it, nor an sshd on a laptop.
apt_install() {
	local policy=/usr/sbin/policy-rc.d made=0 status=0

	if [ ! -e $policy ]; then
		printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
		as_root chmod 755 $policy
		made=1
	fi
	{
		as_root env DEBIAN_FRONTEND=noninteractive apt-get -q update &&
		as_root env DEBIAN_FRONTEND=noninteractive \
		    apt-get -q install -y --no-install-recommends "$@"
	} </dev/null >"$SETUP_LOG" 2>&1 || status=$?
	if [ $made = 1 ]; then
		as_root rm -f $policy
	fi
	if [[ " $* " == *" openssh-server "* ]] &&
	    command -v systemctl >/dev/null; then
		as_root systemctl disable --quiet ssh.service ssh.socket \
		    2>/dev/null || true
	fi
	return $status
}

install_needs() { # table...
	local missing
	missing=$(for table; do missing_packages "$table"; done | sort -u)
	[ -n "$missing" ] || return 0
	missing=$(echo $missing)
	command -v apt-get >/dev/null ||
		die "please install what Debian calls: $missing"
	can_be_root ||
		die "as root, please run: apt-get install $missing"
	say "installing $missing"
	SETUP_LOG=$(mktemp)
	if ! apt_install $missing; then
		tail -n 30 "$SETUP_LOG" >&2
		die "could not install $missing (log: $SETUP_LOG)"
	fi
	rm -f "$SETUP_LOG"
	missing=$(for table; do missing_packages "$table"; done)
	[ -z "$missing" ] || die "still missing: "$missing
}

# A bare chroot has neither /proc nor /dev/shm nor /dev/fuse, nor the /etc/mtab
# that fusermount3 reads. What is mounted here goes again at exit (undo_setup).
setup_kernel_files() {
	if [ ! -e /proc/self/stat ]; then
		as_root mount -t proc proc /proc ||
			die "no /proc here: mount -t proc proc /proc"
		SETUP_MOUNTS=(/proc)
	fi
	if ! grep -q ' /dev/shm ' /proc/self/mountinfo; then
		as_root mkdir -p -m 1777 /dev/shm &&
		as_root mount -t tmpfs -o mode=1777 tmpfs /dev/shm ||
			die "no /dev/shm here: mount -t tmpfs tmpfs /dev/shm"
		SETUP_MOUNTS=(/dev/shm "${SETUP_MOUNTS[@]}")
	fi
	if [ ! -e /etc/mtab ]; then
		as_root ln -sf ../proc/self/mounts /etc/mtab ||
			die "no /etc/mtab here: ln -s ../proc/self/mounts /etc/mtab"
	fi
	if [ ! -e /dev/fuse ]; then
		as_root mknod -m 666 /dev/fuse c 10 229 ||
			die "no /dev/fuse here, and it cannot be made"
	fi
}

undo_setup() {
	local point
	for point in "${SETUP_MOUNTS[@]}"; do
		as_root umount -l "$point"
	done
}

# Configures (once) and builds into a directory of the tree, quietly unless it
# fails. Further arguments go to meson setup; CC and CFLAGS as usual.
build() { # directory option...
	local dir=$TOP/$1 log=$TOP/$1.log
	shift
	if [ ! -e "$dir/build.ninja" ]; then
		rm -rf "$dir"
		meson setup "$dir" "$TOP" "$@" >"$log" 2>&1 ||
			{ cat "$log" >&2; return 1; }
	fi
	ninja --quiet -k 0 -C "$dir" >"$log" 2>&1 || { cat "$log" >&2; return 1; }
	rm -f "$log"
}
