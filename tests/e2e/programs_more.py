"""The table's other half (see programs.py): programs that make files."""

from programs import F, G, H, Row

BUILDERS = [
    Row("gcc -o", 'gcc -o "$TO/n" main.c', marks="quick",
        seen={"n": None}),
    Row("gcc -c -o", 'gcc -c -o "$TO/n.o" main.c'),
    Row("gcc -o over what was sent", 'gcc -o "$TO/n" main.c',
        before='cp f "$TO/n"', seen={"n": None}),
    Row("ld -r", 'ld -r -o "$TO/n.o" main.o'),
    Row("objcopy", 'objcopy main.o "$TO/n.o"'),
    Row("strip -o", 'strip -o "$TO/n.o" main.o'),
    Row("ar", 'ar rcD "$TO/n.a" main.o', status=1, keeps=True,
        stderr="Permission denied", seen={"n.a": [8]},
        why="It closes the new archive when it has no more than its first "
            "line, and reads it again; then it takes it away."),
    Row("split", 'split -b 100k f "$TO/part."'),
    Row("dd", 'dd if=g of="$TO/n" bs=64k status=none'),
    Row("dd conv=fsync", 'dd if=g of="$TO/n" bs=64k conv=fsync status=none'),
    Row("dd oflag=direct",
        'dd if=s of="$TO/n" bs=1M oflag=direct status=none'),
    Row("dd seek", 'dd if=f of="$TO/n" bs=1k seek=3000 status=none',
        sparse=("n",)),
    Row("dd conv=sparse", 'dd if=s of="$TO/n" bs=64k conv=sparse status=none',
        sparse=("n",)),
    Row("dd conv=notrunc over what was sent",
        'dd if=h of="$TO/n" bs=1k seek=7 count=20 conv=notrunc status=none',
        before='cp f "$TO/n"', marks="quick"),
    Row("dd behind what was sent", 'dd if=h of="$TO/n" bs=1k seek=5000 '
        'conv=notrunc status=none', before='cp f "$TO/n"', seen={"n": [F]},
        sparse=("n",)),
    Row("dd oflag=append", 'dd if=h of="$TO/n" oflag=append conv=notrunc '
        'status=none', before='cp f "$TO/n"', seen={"n": [F]}),
    Row("truncate", 'truncate -s 3M "$TO/n"', sparse=("n",)),
    Row("truncate of what was sent", 'truncate -s 100 "$TO/n"; '
        'truncate -s +5000 "$TO/m"', before='cp f "$TO/n"; cp f "$TO/m"',
        seen={"?": [F]}),
    Row("fallocate", 'fallocate -l 1M "$TO/n"'),
    Row("fallocate -n", 'fallocate -n -l 1M "$TO/n"',
        before='echo x >"$TO/n"'),
    Row("fallocate -p of what was sent", 'fallocate -p -o 64K -l 128K "$TO/n"',
        before='cp g "$TO/n"'),
    Row("touch", 'touch "$TO/n"'),
    Row("touch -d", 'touch -d "2001-02-03 04:05:06.789012345" "$TO/n"'),
    Row("touch of what was sent", 'touch -d 2001-02-03 "$TO/n"',
        before='cp f "$TO/n"'),
    Row("chmod of what was sent", 'chmod 4711 "$TO/n"', before='cp f "$TO/n"'),
    Row("chown of what was sent", 'chown 1234:1234 "$TO/n"',
        before='cp f "$TO/n"'),
    Row("setfattr of what was sent", 'setfattr -n user.note -v b "$TO/n"; '
        'setfattr -x user.bin "$TO/n"', before='cp -a x "$TO/n"'),
    Row("setfacl of what was sent", 'setfacl -b "$TO/n"',
        before='cp -a x "$TO/n"'),
    Row("tee", 'tee "$TO/n" "$TO/m" <f >"$TO/k"'),
    Row("tee -a", 'tee -a "$TO/n" <h >h2', before='cp f "$TO/n"',
        seen={"n": [F]}),
    Row("sort -o", 'sort -o "$TO/n" f', marks="quick"),
    Row("sort -o over what was sent", 'sort -n -o "$TO/n" f',
        before='cp g "$TO/n"', seen={"n": [G]}),
    Row("sort -o of what was sent", 'sort -o "$TO/n" "$TO/n"',
        before='cp f "$TO/n"', status=2, keeps=True,
        stderr="Permission denied", why="It reads what was delivered."),
    Row("sed -i of what was sent", 'sed -i s/7/seven/ "$TO/n"',
        before='cp h "$TO/n"', status=None, keeps=True,
        stderr="Permission denied", why="It reads what was delivered."),
    Row("sed w", 'sed -n "s/7/seven/w $TO/n" h'),
    Row("patch -o", 'patch -s -o "$TO/n" h h.diff', seen={"n.o??????": None}),
    Row("patch of what was sent", 'patch -s "$TO/h" h.diff',
        before='cp h "$TO"', status=2, keeps=True, stderr="Permission denied",
        seen={"h.o??????": None}, why="It reads what was delivered."),
    Row("sox", 'sox -q -D -n -r 8000 -b 16 "$TO/n.wav" synth 5 sine 440'),
    Row("sqlite3", 'sqlite3 "$TO/n.db" "create table t (a); insert into t '
        'values (1), (2); create index i on t (a); insert into t select a + 2 '
        'from t;"', marks="quick"),
    Row("sqlite3 that rolls back", 'sqlite3 "$TO/n.db" "create table t (a); '
        'pragma cache_size = 5; begin; with recursive c (x) as (select 1 '
        'union all select x + 1 from c where x < 9000) insert into t select '
        '* from c; rollback; insert into t values (\'kept\');"'),
    Row("sqlite3 with another journal", 'sqlite3 "$TO/n.db" "pragma '
        'journal_mode = truncate; create table t (a); insert into t values '
        '(1); pragma journal_mode = delete;" >&2', stderr="truncate\ndelete"),
    Row("sqlite3 of what was sent", 'sqlite3 "$TO/n.db" "insert into t values '
        '(3);"', before='sqlite3 "$TO/n.db" "create table t (a);"',
        status=None, keeps=True, stderr="unable to open|disk I/O error|"
        "readonly|not authorized",
        why="It reads what was delivered."),
    Row("sqlite3 in WAL mode", 'sqlite3 "$TO/n.db" "pragma journal_mode = '
        'wal; create table t (a);"', status=None, keeps=True,
        stderr="disk I/O error|locking protocol|unable to open",
        why="Its index is shared memory in a file: the kernel's FUSE has no "
            "MAP_SHARED for files opened with direct_io. sqlite3 ends with "
            "another status while it holds the database: nothing arrives."),
]

VI = 'vim.tiny -N -es -u NONE -c "set backupskip="'
EDITORS = [
    Row("vim", f'{VI} -c "normal ihello" -c wq "$TO/n"', marks="quick"),
    Row("vim writes twice", f'{VI} -c "normal ihello" -c w -c "normal oworld" '
        '-c wq "$TO/n"', seen={"n": [6]}, marks="quick"),
    Row("vim keeps a backup", f'{VI} -c "set backup" -c "normal ihello" -c w '
        '-c "normal oworld" -c wq "$TO/n"', seen={"n": [6]}, late=True),
    Row("vim with a swap file", f'{VI} -c "set swapfile" -c "normal ihello" '
        '-c preserve -c w -c "normal oworld" -c preserve -c wq "$TO/n"',
        seen={"n": [6]}),
    Row("vim of what was sent", f'{VI} -c "normal ihello" -c wq "$TO/h"',
        before='cp h "$TO"', status=None, keeps=True,
        stderr=r"(?s)\A.*\Z",
        why="It reads what was delivered, and then takes it as read-only."),
    Row("ed", r'printf "%s\n" a hello . w a world . w q | ed -s "$TO/n"',
        stderr=r"\A.*n: No such file or directory\n\Z", seen={"n": [6]}),
    Row("nano", '$PY $HERE/typist.py nano -I "$TO/n" -- "New" "hello\\r\\x0f" '
        '"Name to Write" "\\r" "Wrote 2" "world\\r\\x0f" "Name to Write" '
        '"\\r" "Wrote 3" "\\x18"', seen={"n": [7]}),
]

DESKTOP = [
    Row("gio copy", 'gio copy f "$TO"', marks="quick"),
    Row("gio copy over what was sent", 'gio copy g "$TO/n"',
        before='gio copy f "$TO/n"', seen={"n": [F]}, marks="quick"),
    Row("gio copy --backup", 'gio copy -b g "$TO/n"',
        before='gio copy f "$TO/n"', seen={"n": [F]}, late=True),
    Row("gio copy -p", 'gio copy -p x "$TO"'),
    Row("gio move", 'gio move f "$TO/n"; ! [ -e f ]'),
    Row("gio move over what was sent", 'gio move g "$TO/n"',
        before='gio copy f "$TO/n"', seen={"n": [F]}),
    Row("gio rename", 'gio rename "$TO/n" m', before='cp f "$TO/n"',
        seen={"n": [F]}),
    Row("gio save", 'gio save "$TO/n" <f'),
    Row("gio save over what was sent", 'gio save "$TO/n" <g',
        before='gio save "$TO/n" <f', seen={"n": [F]}),
    Row("gio save --create", 'gio save -c "$TO/n" <f'),
    Row("gio mkdir", 'gio mkdir -p "$TO/a/b"; gio copy f "$TO/a/b"'),
    Row("gio trash", 'gio trash "$TO/f"', before='cp f "$TO"', status=1,
        keeps=True, stderr="rash",
        why="Trash on another machine is nobody's; so file managers offer to "
            "delete instead."),
    Row("gio remove", 'gio remove "$TO/f"', before='cp f "$TO"', keeps=True,
        forgets=("f",),
        why="It is the peer's now; here it is only forgotten."),
]

SERVER_GONE = ("curl and wget close what they have got, as a file, before "
               "they fail: that is what they leave in any directory.")
NETWORK = [
    Row("curl -o", 'curl -sS -o "$TO/n" "$URL/g"', marks="quick"),
    Row("curl -R -o", 'curl -sS -R --create-dirs -o "$TO/d/n" "$URL/f"'),
    Row("curl -O over what was sent", 'cd "$TO" && curl -sS -O "$URL/f"',
        before='cp g "$TO/f"', seen={"f": [G]}),
    Row("curl and SIGINT", 'set -m; curl -sS -o "$TO/n" "$URL/stall/big" '
        '& pid=$!; until [ "$(stat -c %s "$TO/n" 2>&1)" -ge 1000000 ] '
        '2>/dev/null; do kill -0 $pid || exit 9; done; kill -INT $pid; '
        'wait $pid',
        status=130, keeps=True, stderr=r"\A.*\n?\Z",
        why="A writer killed by a signal has not finished."),
    Row("curl and the server has gone", 'curl -sS -o "$TO/n" "$URL/cut/g"',
        status=18, stderr="transfer closed", why=SERVER_GONE),
    Row("curl --remove-on-error", 'curl -sS --remove-on-error -o "$TO/n" '
        '"$URL/cut/g"', status=18, stderr="transfer closed",
        seen={"n": [300000]},
        why="It takes back what it has closed."),
    Row("wget -O", 'wget -q -O "$TO/n" "$URL/g"'),
    Row("wget -P", 'wget -q -P "$TO" "$URL/f"'),
    Row("wget and the server has gone",
        'wget -q -t 1 -O "$TO/n" "$URL/cut/g"', status=4, stderr=r"\A\Z",
        why=SERVER_GONE),
    Row("wget -c", 'wget -q -c -P "$TO" "$URL/f"',
        before='head -c 90000 f >"$TO/f"', seen={"f": [90000]}),
]

PYTHON = [
    Row("python copy2", '$PY -c "import os, shutil; '
        'shutil.copy2(\'x\', os.environ[\'TO\'])"', marks="quick"),
    Row("python copytree", '$PY -c "import os, shutil; shutil.copytree(\'t\', '
        'os.environ[\'TO\'] + \'/t\', symlinks=True)"'),
    Row("python move", '$PY -c "import os, shutil; '
        'shutil.move(\'t\', os.environ[\'TO\'])"; ! [ -e t ]'),
    Row("python subprocess.run(stdout=f)", '$PY -c "import os, subprocess; '
        'f = open(os.environ[\'TO\'] + \'/n\', \'w\'); f.write(\'head\\n\'); '
        'f.flush(); subprocess.run([\'cat\', \'f\', \'h\'], stdout=f, '
        'check=True); f.write(\'tail\\n\'); f.close()"'),
    Row("python zipfile", '$PY -m zipfile -c "$TO/n.zip" f t'),
    Row("python writes and reads", '$PY -c "import os; '
        'f = open(os.environ[\'TO\'] + \'/n\', \'w+b\'); '
        'f.write(bytes(range(256)) * 5000); f.seek(256 * 7 + 1); '
        'assert f.read(9) == bytes(range(1, 10)); f.seek(3); '
        'f.write(b\'patched\'); f.close()"'),
    Row("python tempfile and replace", '$PY -c "import os, tempfile; '
        'to = os.environ[\'TO\']; f = tempfile.NamedTemporaryFile(\'w\', '
        'dir=to, delete=False); f.write(\'new\'); f.close(); '
        'os.replace(f.name, to + \'/n\')"', before='cp f "$TO/n"',
        seen={"n": [F], "tmp????????": [3]}),
    Row("python removes what it has written", '$PY -c "import os; '
        'n = os.environ[\'TO\'] + \'/n\'; open(n, \'w\').write(\'x\'); '
        'os.unlink(n)"', seen={"n": [1]}),
    Row("python removes what it is writing", '$PY -c "import os; '
        'n = os.environ[\'TO\'] + \'/n\'; f = open(n, \'wb\', 0); '
        'f.write(b\'x\'); os.unlink(n); f.write(b\'y\')"', status=1,
        elsewhere=0, stderr="OSError: .Errno 125.",
        why="To remove what is being sent is to cancel it: ECANCELED."),
    Row("python reads what was sent", '$PY -c "import os; '
        'open(os.environ[\'TO\'] + \'/n\').read()"', before='cp f "$TO/n"',
        status=1, keeps=True, stderr="PermissionError: .Errno 13.",
        why="It is the peer's now."),
]

# A child reads from the FIFO when it may go on; the pipe to cat ends when the
# last of them has ended.
CHILD = 'mkfifo go; {{ {0}; echo >go; }} 9>&1 | cat'
SHELL = [
    Row("bash >", 'cat f >"$TO/n"'),
    Row("bash > over what was sent", 'cat f >"$TO/n"', before='cat g >"$TO/n"',
        seen={"n": [G]}),
    Row("bash > of nothing", ': >"$TO/n"; >"$TO/m"'),
    Row("bash >>", 'echo one >>"$TO/n"; cat h >>"$TO/n"; echo three >>"$TO/n"',
        seen={"n": [4, H + 4]}, marks="quick sanitize"),
    Row("bash noclobber", 'set -C; cat f >"$TO/n"; ! cat g >"$TO/n"',
        stderr="cannot overwrite existing file"),
    Row("bash exec 3>", 'exec 3>"$TO/n"; cat f >&3; echo more >&3; exec 3>&-'),
    Row("bash exec >", 'exec >"$TO/n" 2>&1; cat f; ls nothing; cat h'),
    Row("bash exec <>", 'exec 3<>"$TO/n"; cat f >&3; exec 3>&-'),
    Row("bash {fd}> in two places", 'exec {a}>"$TO/n"; exec {b}>>"$TO/n"; '
        'cat f >&$a; echo more >&$b; exec {a}>&-; exec {b}>&-',
        seen={"n": [F]}),
    Row("bash group", '{ cat f; cat h; } >"$TO/n"'),
    Row("bash subshell", '(cat f; (cat h); echo end) >"$TO/n"', marks="quick"),
    Row("bash loop", 'for i in {1..50}; do echo $i; done >"$TO/n"; '
        'head -n 2000 h | while read -r a; do echo "$a"; done >"$TO/m"'),
    Row("bash loop of >>", 'for i in {1..20}; do echo 0123456789 >>"$TO/n"; '
        'done', seen={"n": range(11, 220, 11)}),
    Row("bash pipe", 'sort f | tee "$TO/a" | gzip -n >"$TO/b"'),
    Row("bash process substitution",
        'tee >(gzip -n >"$TO/a") >(sort >"$TO/b") <f >"$TO/c" | cat',
        late=True),
    Row("bash 2> and &>", 'ls nothing 2>"$TO/a"; ls f nothing &>"$TO/b"; :'),
    Row("bash here-document", 'cat <<E >"$TO/n"\none\ntwo\nE'),
    Row("bash background job", '{ echo head; cat f; } >"$TO/n" & wait'),
    Row("bash child outlives the group", CHILD.format(
        '{ echo head; { read -r _ <go; cat f; } & } >"$TO/n"'), late=True,
        marks="quick sanitize"),
    Row("bash child outlives the opener", CHILD.format(
        'bash -c \'{ echo head; { read -r _ <go; cat f; } & } >"$TO/n"\''),
        late=True),
    Row("bash child has left its parents", CHILD.format(
        'bash -c \'{ echo head; (setsid bash -c "read -r _ <go; cat f" &); } '
        '>"$TO/n"\''), late=True, seen={"n": [5]}),
    Row("bash that fails", 'exec >"$TO/n"; cat f; exit 3', status=3,
        stderr=r"\A\Z",
        why="Standard output is a report, whatever the exit status."),
    Row("bash that is killed", 'bash -c \'exec >"$TO/n"; cat f; kill -9 $$\'',
        status=-9, keeps=True, stderr=r"\A\Z",
        why="A writer killed by a signal has not finished."),
    Row("bash in the folder", 'cd "$TO" && mkdir d && cd d && echo x >../n && '
        'echo y >./m && cd .. && mv d e',
        seen={"d": [-1], "d/m": [2]}),
]

MORE = BUILDERS + EDITORS + DESKTOP + NETWORK + PYTHON + SHELL
