//! Runs the real binary in a folder of its own.
//!
//! A command is written as on a terminal; words that begin with `fixtures/` stand for files of
//! the repository. Every run has a watchdog: a command that hangs is a test that fails.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// After so long a command hangs.
pub const WATCHDOG: Duration = Duration::from_secs(180);
pub const POLL: Duration = Duration::from_millis(5);

/// What a command left behind.
pub struct Outcome {
    pub command: String,
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// The command has ended with this exit code, and without a panic.
    pub fn expect(self, code: i32) -> Outcome {
        let Outcome { command, stdout, stderr, .. } = &self;
        assert_eq!(self.code, Some(code), "`{command}`\n{stdout}\n{stderr}");
        assert!(!stderr.contains("panicked"), "`{command}`\n{stderr}");
        self
    }
}

/// A temporary folder in which commands run.
pub struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    pub fn new() -> Desk {
        Desk { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Runs `scout40 WORDS...`.
    pub fn run(&self, words: &str) -> Outcome {
        self.start(Command::new(env!("CARGO_BIN_EXE_scout40")), words)
    }

    /// Runs `scout40 WORDS...`, which has to succeed.
    pub fn done(&self, words: &str) -> Outcome {
        self.run(words).expect(0)
    }

    /// Runs `command WORDS...`.
    pub fn start(&self, command: Command, words: &str) -> Outcome {
        self.spawn(command, words).outcome()
    }

    /// Begins to run `command WORDS...`.
    pub fn spawn(&self, mut command: Command, words: &str) -> Running {
        let (stdout, stderr) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        command.args(words.split_whitespace().map(word)).current_dir(self.folder.path());
        command.stdin(Stdio::null());
        command.stdout(stdout.try_clone().unwrap()).stderr(stderr.try_clone().unwrap());
        Running { words: words.to_owned(), child: command.spawn().unwrap(), stdout, stderr }
    }
}

/// A command that is running; it does not outlive its test.
pub struct Running {
    pub child: Child,
    words: String,
    stdout: File,
    stderr: File,
}

impl Running {
    /// Waits until it has ended.
    pub fn outcome(mut self) -> Outcome {
        for _ in 0..WATCHDOG.as_millis() / POLL.as_millis() {
            if let Some(status) = self.child.try_wait().unwrap() {
                let (command, code) = (self.words.clone(), status.code());
                let (stdout, stderr) = (text(&mut self.stdout), text(&mut self.stderr));
                return Outcome { command, code, stdout, stderr };
            }
            std::thread::sleep(POLL);
        }
        panic!("`{}` hangs\n{}", self.words, text(&mut self.stderr));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A command that has ended cannot be killed, which is as it should be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file of the repository's fixtures.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}

fn word(text: &str) -> String {
    match text.strip_prefix("fixtures/") {
        Some(name) => fixture(name).display().to_string(),
        None => text.into(),
    }
}

fn text(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}
