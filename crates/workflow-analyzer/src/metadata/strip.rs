//! Takes the texts out of a PNG while it passes by.

use super::PNG;

/// The chunks that hold texts: those of the standard (PNG, 11.3.3 and 11.3.4.5), and the one that ComfyUI puts into animated
/// PNGs.
const TEXTS: [&[u8]; 5] = [b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"comf"];

/// Length and kind, before the data of a chunk; after them comes a checksum.
const HEAD: usize = 8;
const CHECKSUM: u64 = 4;

/// A filter for the bytes of a PNG: what comes out is the same picture without the workflow and all other texts. Of a file
/// of another kind nothing is changed. Holds a few bytes, whatever the size of the file.
#[derive(Clone, Debug, Default)]
pub struct PngStripper {
    at: At,
    /// What of the signature or of a chunk's head has come.
    head: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default)]
enum At {
    #[default]
    Signature,
    Head,
    /// In a chunk, with so many bytes to come.
    Chunk {
        left: u64,
        kept: bool,
    },
    /// Behind the last chunk, or in a file that is no PNG.
    Rest,
}

impl PngStripper {
    /// The next bytes, in pieces of any size; what is kept of them and of those that were held back.
    pub fn push(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let mut kept = Vec::with_capacity(bytes.len());
        while !bytes.is_empty() {
            let taken = match self.at {
                At::Signature | At::Head => self.head(bytes, &mut kept),
                At::Chunk { left, kept: keep } => {
                    let taken = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    if keep {
                        kept.extend_from_slice(&bytes[..taken]);
                    }
                    let left = left - taken as u64;
                    self.at = if left == 0 { At::Head } else { At::Chunk { left, kept: keep } };
                    taken
                }
                At::Rest => {
                    kept.extend_from_slice(bytes);
                    bytes.len()
                }
            };
            bytes = &bytes[taken..];
        }
        kept
    }

    /// What was held back of a file that ends too early.
    pub fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.head)
    }

    /// Takes from `bytes` what the head lacks, and looks at it once it is there.
    fn head(&mut self, bytes: &[u8], kept: &mut Vec<u8>) -> usize {
        let taken = bytes.len().min(HEAD - self.head.len());
        self.head.extend_from_slice(&bytes[..taken]);
        let Ok(head) = <[u8; HEAD]>::try_from(self.head.as_slice()) else { return taken };
        self.head.clear();
        let mut keep = true;
        self.at = if matches!(self.at, At::Signature) {
            if head == PNG { At::Head } else { At::Rest }
        } else {
            let ([a, b, c, d, ..], kind) = (head, &head[4..]);
            keep = !TEXTS.contains(&kind);
            let left = u64::from(u32::from_be_bytes([a, b, c, d])) + CHECKSUM;
            if kind == b"IEND" { At::Rest } else { At::Chunk { left, kept: keep } }
        };
        if keep {
            kept.extend_from_slice(&head);
        }
        taken
    }
}
