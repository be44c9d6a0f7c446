//! The safetensors format: an 8-byte little-endian length, a JSON header of that length, the data.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

use serde_json::{Map, Value, json};

use super::weights::{Fill, Tensor, Weights};

/// The number formats that our files use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dtype {
    F16,
    F32,
}

impl Dtype {
    fn name(self) -> &'static str {
        match self {
            Dtype::F16 => "F16",
            Dtype::F32 => "F32",
        }
    }

    fn bytes(self) -> usize {
        match self {
            Dtype::F16 => 2,
            Dtype::F32 => 4,
        }
    }

    /// One number, little-endian; the first `self.bytes()` bytes count.
    fn encode(self, value: f32) -> [u8; 4] {
        match self {
            Dtype::F16 => {
                let [low, high] = half(value).to_le_bytes();
                [low, high, 0, 0]
            }
            Dtype::F32 => value.to_le_bytes(),
        }
    }
}

/// Writes the file under another name first, so that a file with the right name is whole.
pub(crate) fn write(path: &Path, weights: &Weights) -> io::Result<()> {
    let unfinished = path.with_extension("part");
    let mut file = BufWriter::with_capacity(1 << 20, File::create(&unfinished)?);
    write_to(&mut file, weights)?;
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    std::fs::rename(&unfinished, path)
}

fn write_to(out: &mut impl Write, weights: &Weights) -> io::Result<()> {
    let header = header(weights);
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    let mut noise = Noise::new(weights.seed);
    for tensor in &weights.tensors {
        data(out, tensor, &mut noise)?;
    }
    Ok(())
}

/// The header, filled up with spaces to a multiple of 8 bytes as the format asks.
fn header(weights: &Weights) -> String {
    let mut header = Map::new();
    if !weights.metadata.is_empty() {
        let metadata =
            weights.metadata.iter().map(|(key, value)| ((*key).to_owned(), Value::from(value.as_str())));
        header.insert("__metadata__".to_owned(), Value::Object(metadata.collect()));
    }
    let mut start = 0;
    for tensor in &weights.tensors {
        let end = start + tensor.len() * tensor.dtype.bytes();
        let entry =
            json!({"dtype": tensor.dtype.name(), "shape": tensor.shape, "data_offsets": [start, end]});
        header.insert(tensor.name.clone(), entry);
        start = end;
    }
    let mut header = Value::Object(header).to_string();
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    header
}

fn data(out: &mut impl Write, tensor: &Tensor, noise: &mut Noise) -> io::Result<()> {
    let bytes = tensor.dtype.bytes();
    match tensor.fill {
        Fill::Value(value) => {
            let number = tensor.dtype.encode(value);
            (0..tensor.len()).try_for_each(|_| out.write_all(&number[..bytes]))
        }
        Fill::Noise { deviation } => {
            let table = Noise::table(tensor.dtype, deviation);
            let mut left = tensor.len();
            let mut chunk = Vec::with_capacity(Noise::PER_DRAW * bytes);
            while left > 0 {
                let mut bits = noise.draw();
                chunk.clear();
                for _ in 0..Noise::PER_DRAW.min(left) {
                    let number = table[(bits & Noise::MASK) as usize];
                    chunk.extend_from_slice(&number[..bytes]);
                    bits >>= Noise::BITS;
                }
                out.write_all(&chunk)?;
                left = left.saturating_sub(Noise::PER_DRAW);
            }
            Ok(())
        }
    }
}

/// Evenly distributed numbers of 4096 steps, from SplitMix64: fast enough for 300 million of them without
/// optimisation, and as good as normal ones for weights that mean nothing.
struct Noise {
    state: u64,
}

impl Noise {
    const BITS: u32 = 12;
    const MASK: u64 = (1 << Self::BITS) - 1;
    const PER_DRAW: usize = (u64::BITS / Self::BITS) as usize;

    fn new(seed: u64) -> Noise {
        Noise { state: seed }
    }

    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// The steps of an even distribution around 0 with this standard deviation, encoded.
    fn table(dtype: Dtype, deviation: f32) -> Vec<[u8; 4]> {
        let steps = (1 << Self::BITS) as f32;
        let half_width = deviation * 3.0_f32.sqrt();
        (0..1 << Self::BITS)
            .map(|step| dtype.encode(half_width * ((2.0 * step as f32 + 1.0) / steps - 1.0)))
            .collect()
    }
}

/// The bits of the half-precision number nearest to `value` (IEEE 754 binary16); too large becomes infinite.
fn half(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    let magnitude = bits & 0x7FFF_FFFF;
    if magnitude >= 0x4780_0000 {
        return sign | 0x7C00;
    }
    if magnitude < 0x3880_0000 {
        // Subnormal there: let the addition of 0.5 round the mantissa into place.
        let shifted = f32::from_bits(magnitude) + 0.5;
        return sign | (shifted.to_bits() - 0.5_f32.to_bits()) as u16;
    }
    let to_even = (magnitude >> 13) & 1;
    sign | ((magnitude - 0x3800_0000 + 0x0FFF + to_even) >> 13) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_the_nearest() {
        for (value, expect) in [
            (0.0, 0x0000),
            (-0.0, 0x8000),
            (1.0, 0x3C00),
            (-2.0, 0xC000),
            (0.5, 0x3800),
            (0.182_15, 0x31D4),
            (65504.0, 0x7BFF),
            (65520.0, 0x7C00),
            (1e9, 0x7C00),
            (6.103_515_6e-5, 0x0400),
            (5.960_464_5e-8, 0x0001),
            (1e-9, 0x0000),
            // Halfway between two: to the even one.
            (1.000_488_3, 0x3C00),
            (1.001_464_8, 0x3C02),
        ] {
            assert_eq!(half(value), expect, "{value}");
        }
    }

    #[test]
    fn a_file_is_what_the_format_says() {
        let mut weights = Weights::new(7, Dtype::F16);
        weights.metadata.push(("format", "pt".to_owned()));
        weights.norm("n", 3);
        weights.noise("w", &[2, 5], 1.0);
        weights.scalar("s", Dtype::F32, 0.5);
        let mut file = Vec::new();
        write_to(&mut file, &weights).unwrap();

        let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        assert_eq!(length % 8, 0);
        let (header, data) = file[8..].split_at(length);
        let header: Value = serde_json::from_slice(header).unwrap();
        assert_eq!(header["__metadata__"]["format"], "pt");
        assert_eq!(header["n.weight"], json!({"dtype": "F16", "shape": [3], "data_offsets": [0, 6]}));
        assert_eq!(header["w"], json!({"dtype": "F16", "shape": [2, 5], "data_offsets": [12, 32]}));
        assert_eq!(header["s"], json!({"dtype": "F32", "shape": [], "data_offsets": [32, 36]}));
        assert_eq!(data.len(), 36);
        assert_eq!(&data[..6], [0, 0x3C, 0, 0x3C, 0, 0x3C]);
        assert_eq!(data[32..], 0.5_f32.to_le_bytes());
    }

    #[test]
    fn noise_has_the_deviation_asked_for_and_follows_from_the_seed() {
        let mut weights = Weights::new(7, Dtype::F32);
        weights.noise("w", &[10_000], 0.25);
        let write = |weights: &Weights| {
            let mut file = Vec::new();
            write_to(&mut file, weights).unwrap();
            file
        };
        let file = write(&weights);
        let numbers =
            file[file.len() - 40_000..].chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
        let variance = numbers.map(|x| x * x).sum::<f32>() / 10_000.0;
        assert!((variance.sqrt() - 0.25).abs() < 0.01, "{variance}");

        assert_eq!(file, write(&weights));
        weights.seed = 8;
        assert_ne!(file, write(&weights));
    }
}
