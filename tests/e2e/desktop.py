"""A desktop for one test: an X server without a screen, a session bus, and a
file manager (Thunar) that is driven by its keys, as a person would.

What a window shows is read by selecting all of it and asking the clipboard.
GTFS_TEST_SCREENSHOTS names a directory for pictures to look at.
"""

import functools
import os
import re
import signal
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlparse

from netbed import MS_PRIVATE, SCALE, enter_private_mounts, wait_for
from screen import Screen


class Desktop:
    """X server, bus and their environment; programs are started in it."""

    def __init__(self, home):
        self.home, self.processes = home, []
        home.mkdir()
        self.env = dict(os.environ, HOME=str(home), LC_ALL="C.UTF-8",
                        XDG_RUNTIME_DIR=str(home), GDK_BACKEND="x11",
                        NO_AT_BRIDGE="1", GIO_USE_VFS="local")
        for name in "DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "WAYLAND_DISPLAY":
            self.env.pop(name, None)
        read, write = os.pipe()
        # Without -noreset it would throw everybody out whenever the last one
        # leaves: a file manager that comes as xdotool goes.
        self.spawn(["Xvfb", "-noreset", "-displayfd", str(write),
                    "-nolisten", "tcp",
                    "-screen", "0", "1000x700x24", "-fbdir", str(home)],
                   pass_fds=[write])
        self.screen = Screen(home)
        os.close(write)
        with os.fdopen(read) as answer:
            self.env["DISPLAY"] = f":{answer.readline().strip()}"
        bus = self.spawn(["dbus-daemon", "--session", "--nofork",
                          "--print-address"], stdout=subprocess.PIPE)
        self.env["DBUS_SESSION_BUS_ADDRESS"] = \
            bus.stdout.readline().decode().strip()

    def spawn(self, command, **keywords):
        keywords.setdefault("stdout", subprocess.DEVNULL)
        process = subprocess.Popen(
            command, env=self.env, stdin=subprocess.DEVNULL,
            stderr=open(self.home / "log", "ab"), **keywords)
        self.processes.append(process)
        return process

    def close(self):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()

    def configure(self, name, value):
        """A setting of Thunar."""
        subprocess.run(["xfconf-query", "-c", "thunar", "-p", name, "-n",
                        "-t", "string", "-s", value], env=self.env,
                       check=True, capture_output=True, timeout=20 * SCALE)

    def xdotool(self, *words, check=True):
        return subprocess.run(
            ["xdotool", *map(str, words)], env=self.env, text=True,
            check=check, capture_output=True).stdout.split("\n")[:-1]

    def windows(self):
        """Those that can be seen: {id: title}."""
        found = self.xdotool("search", "--onlyvisible", "--class", "thunar",
                             check=False)
        return {window: "".join(self.xdotool("getwindowname", window,
                                             check=False))
                for window in found}

    def window(self, title):
        """The window with this title (a pattern), which has to come."""
        def look():
            for window, name in self.windows().items():
                if re.fullmatch(title, name):
                    return window
            return None
        return wait_for(look, 20, lambda: (
            self.picture("no such window") or
            f"a window {title!r}: {self.windows()}\n"
            + (self.home / "log").read_text(errors="replace")))

    def keys(self, window, *keys):
        self.xdotool("windowfocus", "--sync", window)
        self.xdotool("key", "--clearmodifiers", *keys)

    def click_stop(self, window):
        """Clicks at the stop button of a window, the square in it; False if
        it shows none (yet, or any more)."""
        self.xdotool("windowraise", window, check=False)
        shape = dict(line.split("=") for line in self.xdotool(
            "getwindowgeometry", "--shell", window, check=False))
        if "WIDTH" not in shape:
            return False
        left, top = int(shape["X"]), int(shape["Y"])
        at = self.screen.find_square(left, top, int(shape["WIDTH"]),
                                     int(shape["HEIGHT"]))
        if at:
            self.xdotool("mousemove", left + at[0], top + at[1], "click", 1)
        return bool(at)

    def picture(self, name):
        top = os.environ.get("GTFS_TEST_SCREENSHOTS")
        if top:
            self.screen.save(Path(top) / f"{name}.png")

    def clipboard(self, target="text/uri-list"):
        shown = subprocess.run(
            ["xclip", "-selection", "clipboard", "-t", target, "-o"],
            env=self.env, capture_output=True, timeout=10 * SCALE)
        return shown.stdout.decode().rstrip("\0").split()


class FileManager:
    """One window of Thunar."""

    def __init__(self, desktop, folder):
        self.desktop, self.folder = desktop, folder
        # It looks at every mount there is, and other runs stop their daemons.
        desktop.spawn(["thunar", str(folder)], preexec_fn=functools.partial(
            enter_private_mounts, MS_PRIVATE, desktop.home.parents[1]))
        desktop.window(re.escape(folder.name) + " - Thunar")

    @property
    def window(self):
        return self.desktop.window(re.escape(self.folder.name) + " - Thunar")

    def go(self, folder):
        window = self.window
        self.desktop.keys(window, "ctrl+l")
        self.desktop.xdotool("type", "--delay", "1", str(folder))
        self.desktop.keys(window, "Return")
        self.folder = folder
        self.desktop.window(re.escape(folder.name) + " - Thunar")

    def shown(self):
        """The names that it shows now."""
        self.desktop.keys(self.window, "ctrl+a", "ctrl+c")
        return sorted(os.path.basename(unquote(urlparse(uri).path))
                      for uri in self.desktop.clipboard())

    def wait_shown(self, names):
        """These, beside what was there before."""
        wait_for(lambda: set(names) <= set(self.shown()), 20, lambda: (
            self.desktop.picture("not shown") or
            f"{names} in the window: {self.shown()}"))

    def copy_all(self, names):
        """The whole folder is in the clipboard, once it shows these."""
        self.wait_shown(names)

    def paste(self):
        self.desktop.keys(self.window, "ctrl+v")

