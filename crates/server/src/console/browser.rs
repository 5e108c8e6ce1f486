//! A browser in a few words, by which a person knows it again.

/// Browsers by their marks, those first whose agents also have the marks of others.
const BROWSERS: [(&str, &str); 12] = [
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Vivaldi/", "Vivaldi"),
    ("DuckDuckGo/", "DuckDuckGo"),
    ("FxiOS/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Chromium/", "Chromium"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
];

const SYSTEMS: [(&str, &str); 7] = [
    ("iPad", "an iPad"),
    ("iPhone", "an iPhone"),
    ("Android", "Android"),
    ("CrOS", "a Chromebook"),
    ("Windows", "Windows"),
    ("Macintosh", "a Mac"),
    ("Linux", "Linux"),
];

/// The words for a `User-Agent`, such as "Chrome on Android". Nothing else of it is kept.
pub(super) fn told(agent: &str) -> String {
    let find = |all: &[(&str, &'static str)]| {
        all.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, name)| *name)
    };
    match (find(&BROWSERS), find(&SYSTEMS)) {
        // Tablets of this maker say that they are computers.
        (Some("Safari"), Some("a Mac")) => "Safari on a Mac or an iPad".to_owned(),
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (browser, system) => browser.or(system).unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_browser_is_told_in_a_few_words() {
        let webkit = "AppleWebKit/537.36 (KHTML, like Gecko)";
        for (agent, told) in [
            (
                format!(
                    "Mozilla/5.0 (Linux; Android 10; K) {webkit} Chrome/156.0 Mobile Safari/537.36"
                ),
                "Chrome on Android",
            ),
            (
                format!(
                    "Mozilla/5.0 (Windows NT 10.0) {webkit} Chrome/156.0 Safari/537.36 Edg/156.0"
                ),
                "Edge on Windows",
            ),
            (
                format!(
                    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15) {webkit} Version/19 Safari/605"
                ),
                "Safari on a Mac or an iPad",
            ),
            (
                format!(
                    "Mozilla/5.0 (iPad; CPU OS 17_0 like Mac OS X) {webkit} CriOS/156 Safari/604"
                ),
                "Chrome on an iPad",
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0".to_owned(),
                "Firefox on Linux",
            ),
            ("curl/8.14".to_owned(), "curl"),
            ("<b>something else".to_owned(), ""),
            (String::new(), ""),
        ] {
            assert_eq!(super::told(&agent), told, "{agent}");
        }
    }
}
