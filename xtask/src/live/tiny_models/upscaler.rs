//! An ESRGAN upscaler (the older RRDBNet layout), twofold, with one block of 16 channels.

use super::weights::Weights;

const CHANNELS: usize = 16;
/// The loader's own constant: it is not read from the file.
const GROWTH: usize = 32;

/// A file for UpscaleModelLoader.
pub(crate) fn esrgan(mut w: Weights) -> Weights {
    w.conv("model.0", CHANNELS, 3, 3, 1.0);
    for block in 1..=3 {
        for n in 0..5 {
            let outputs = if n < 4 { GROWTH } else { CHANNELS };
            let name = format!("model.1.sub.0.RDB{block}.conv{}.0", n + 1);
            w.conv(&name, outputs, CHANNELS + n * GROWTH, 3, 0.5);
        }
    }
    w.conv("model.1.sub.1", CHANNELS, CHANNELS, 3, 1.0);
    w.conv("model.3", CHANNELS, CHANNELS, 3, 1.0);
    w.conv("model.5", CHANNELS, CHANNELS, 3, 1.0);
    w.conv("model.7", 3, CHANNELS, 3, 1.0);
    w
}
