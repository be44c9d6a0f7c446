//! What Linux tells of a folder and of the one above it, in which it may come and go.

use std::ffi::OsString;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::inotify::{self, CreateFlags, Event, Reader, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;

const ENDINGS: [&[u8]; 4] = [b".json", b".toml", b".png", b".webp"];

/// What is watched.
pub(super) struct Inotify {
    events: AsyncFd<OwnedFd>,
    folder: PathBuf,
    /// The watch on the folder, while it is there.
    inside: Option<i32>,
    /// The watch on the nearest folder above it, and the name in it on the way down.
    above: Option<(i32, OsString)>,
}

impl Inotify {
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        let events = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        #[expect(
            deprecated,
            reason = "the other one is unsafe for descriptors that may be closed early; this one is owned"
        )]
        let events = AsyncFd::new(events)?;
        Ok(Self { events, folder: std::path::absolute(folder)?, inside: None, above: None })
    }

    pub(super) fn arm(&mut self) {
        let moves = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVE | WatchFlags::ONLYDIR;
        let all = moves | WatchFlags::CLOSE_WRITE | WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF;
        self.inside = inotify::add_watch(&self.events, &self.folder, all).ok();
        let mut below = self.folder.as_path();
        self.above = None;
        while let (Some(above), Some(name)) = (below.parent(), below.file_name()) {
            if let Ok(watch) = inotify::add_watch(&self.events, above, moves) {
                self.above = Some((watch, name.to_owned()));
                return;
            }
            below = above;
        }
    }

    /// Returns when a file of the folder, or the folder itself, may have changed. Cancel-safe: what was read counts.
    pub(super) async fn changed(&mut self) {
        loop {
            let Ok(mut ready) = self.events.readable().await else { return std::future::pending().await };
            let (news, drained) = self.read();
            if drained {
                ready.clear_ready();
            }
            if news {
                return;
            }
        }
    }

    /// Whether there was news among the events, and whether all are read.
    fn read(&self) -> (bool, bool) {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(self.events.get_ref(), &mut buffer);
        let mut news = false;
        loop {
            match reader.next() {
                Ok(event) => news |= self.is_news(&event),
                Err(Errno::INTR) => {}
                Err(_) => return (news, true),
            }
        }
    }

    fn is_news(&self, event: &Event<'_>) -> bool {
        let name = event.file_name().map(std::ffi::CStr::to_bytes);
        match (name, &self.above) {
            (Some(name), Some((watch, below))) if *watch == event.wd() => name == below.as_bytes(),
            (Some(name), _) if self.inside == Some(event.wd()) => {
                ENDINGS.iter().any(|ending| name.ends_with(ending)) && !name.starts_with(b".")
            }
            (Some(_), _) => false,
            // Of a watched folder itself, or that there was more than could be told.
            (None, _) => true,
        }
    }
}
