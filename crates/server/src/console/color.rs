//! Colors: the palette that is offered, and how well text can be read on a color (WCAG 2.2, 1.4.3).

/// A color of the palette: white or black text can be read on each of them.
pub(super) struct Offered {
    pub(super) value: &'static str,
    pub(super) name: &'static str,
}

/// The palette, in the order of the rainbow.
pub(super) const PALETTE: [Offered; 12] = [
    Offered { value: "#C62828", name: "Red" },
    Offered { value: "#E65100", name: "Orange" },
    Offered { value: "#F9A825", name: "Amber" },
    Offered { value: "#558B2F", name: "Olive" },
    Offered { value: "#2E7D32", name: "Green" },
    Offered { value: "#00796B", name: "Teal" },
    Offered { value: "#0277BD", name: "Blue" },
    Offered { value: "#283593", name: "Navy" },
    Offered { value: "#6A1B9A", name: "Purple" },
    Offered { value: "#AD1457", name: "Pink" },
    Offered { value: "#6D4C41", name: "Brown" },
    Offered { value: "#546E7A", name: "Gray" },
];

/// The contrast of black or white text, whichever reads better, on a color: "white text is easy to read (contrast 5.6 : 1)".
pub(super) fn contrast(color: &str) -> Option<String> {
    let on = luminance(color)?;
    let (white, black) = (1.05 / (on + 0.05), (on + 0.05) / 0.05);
    let (name, ratio) = if white > black { ("white", white) } else { ("black", black) };
    // The better of the two reaches the 4.5 : 1 of the guidelines on every color.
    Some(format!("{name} text is easy to read (contrast {ratio:.1} : 1)"))
}

fn luminance(color: &str) -> Option<f64> {
    let digits = color.strip_prefix('#').filter(|digits| digits.len() == 6 && digits.is_ascii())?;
    let channel = |at: usize| {
        let value = f64::from(u8::from_str_radix(&digits[at..at + 2], 16).ok()?) / 255.0;
        Some(if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) })
    };
    Some(0.2126 * channel(0)? + 0.7152 * channel(2)? + 0.0722 * channel(4)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contrast_is_that_of_the_guidelines() {
        let of = |color| contrast(color).unwrap_or_default();
        assert_eq!(of("#000000"), "white text is easy to read (contrast 21.0 : 1)");
        assert_eq!(of("#ffffff"), "black text is easy to read (contrast 21.0 : 1)");
        assert_eq!(of("#757575"), "white text is easy to read (contrast 4.6 : 1)");
        assert_eq!(contrast(""), None);
        assert_eq!(contrast("#ééé"), None);
    }

    #[test]
    fn every_color_of_the_palette_can_be_read_on() {
        for Offered { value, .. } in PALETTE {
            let on = luminance(value).unwrap();
            assert!((1.05 / (on + 0.05)).max((on + 0.05) / 0.05) >= 4.5, "{value}");
        }
    }
}
