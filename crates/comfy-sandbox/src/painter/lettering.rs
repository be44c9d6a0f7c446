//! The word SANDBOX in the corner, so that nobody takes a painted picture for a model's.

use image::{Rgb, RgbImage};

/// Five by seven dots each; a bit per dot, the leftmost highest.
const LETTERS: [[u8; 7]; 7] = [
    [0b01111, 0b10000, 0b10000, 0b01110, 0b00001, 0b00001, 0b11110],
    [0b01110, 0b10001, 0b10001, 0b11111, 0b10001, 0b10001, 0b10001],
    [0b10001, 0b11001, 0b10101, 0b10101, 0b10011, 0b10001, 0b10001],
    [0b11110, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b11110],
    [0b11110, 0b10001, 0b10001, 0b11110, 0b10001, 0b10001, 0b11110],
    [0b01110, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110],
    [0b10001, 0b01010, 0b00100, 0b00100, 0b00100, 0b01010, 0b10001],
];
/// The word with a dot between the letters and a margin of two all around, in dots.
const WIDTH: u32 = 7 * 6 - 1 + 4;
const HEIGHT: u32 = 7 + 4;
const INK: Rgb<u8> = Rgb([245, 245, 240]);
const PAPER: Rgb<u8> = Rgb([24, 26, 34]);

/// Writes the word at the bottom right; nothing where it doesn't fit.
pub(super) fn sign(picture: &mut RgbImage) {
    let (width, height) = picture.dimensions();
    let dot = (width.min(height) / 256).max(1);
    let (Some(left), Some(top)) = (width.checked_sub(WIDTH * dot), height.checked_sub(HEIGHT * dot)) else {
        return;
    };
    for y in 0..HEIGHT * dot {
        for x in 0..WIDTH * dot {
            let color = if is_ink(x / dot, y / dot) { INK } else { PAPER };
            picture.put_pixel(left + x, top + y, color);
        }
    }
}

fn is_ink(x: u32, y: u32) -> bool {
    let (Some(x), Some(y)) = (x.checked_sub(2), y.checked_sub(2)) else { return false };
    let (letter, column) = ((x / 6) as usize, x % 6);
    let row = LETTERS.get(letter).and_then(|rows| rows.get(y as usize));
    column < 5 && row.is_some_and(|row| row >> (4 - column) & 1 == 1)
}
