//! What comes of a question.

use serde_json::{Map, Value, json};

use crate::stats::rounded;

/// A section of the page.
#[derive(Debug)]
pub struct Report {
    /// The heading.
    pub title: &'static str,
    /// Markdown.
    pub text: String,
    /// Where tidegate is not the best, or not as good as it promises: one line each.
    pub losses: Vec<String>,
    /// What was measured, by name.
    pub raw: Map<String, Value>,
    /// Pictures: their files and their SVG.
    pub pictures: Vec<(&'static str, String)>,
}

impl Report {
    /// A section that begins with an explanation.
    pub fn new(title: &'static str, explanation: &str) -> Self {
        Self {
            title,
            text: format!("{explanation}\n\n"),
            losses: Vec::new(),
            raw: Map::new(),
            pictures: Vec::new(),
        }
    }

    /// A table: the first column to the left, the others to the right.
    pub fn table(&mut self, head: &[impl AsRef<str>], rows: &[Vec<String>]) {
        let head: Vec<&str> = head.iter().map(AsRef::as_ref).collect();
        let line = |cells: &[&str]| format!("| {} |\n", cells.join(" | "));
        self.text += &line(&head);
        self.text += &format!("|---|{}\n", "---:|".repeat(head.len() - 1));
        for row in rows {
            assert_eq!(row.len(), head.len(), "a row that does not fit {head:?}: {row:?}");
            self.text += &line(&row.iter().map(String::as_str).collect::<Vec<_>>());
        }
        self.text.push('\n');
    }

    /// A paragraph.
    pub fn say(&mut self, text: &str) {
        self.text += &format!("{text}\n\n");
    }

    /// A picture, and what it shows.
    pub fn picture(&mut self, file: &'static str, what: &str, svg: String) {
        self.say(&format!("![{what}](benchmarks/{file})"));
        self.pictures.push((file, svg));
    }

    /// A loss, with its reason where that is known.
    pub fn lose(&mut self, what: String, why: &str) {
        self.losses.push(if why.is_empty() { what } else { format!("{what}. Why: {why}") });
    }

    /// Keeps samples, with five digits.
    pub fn keep(&mut self, name: impl Into<String>, samples: impl IntoIterator<Item = f64>) {
        let samples: Vec<Value> = samples.into_iter().map(|sample| json!(rounded(sample))).collect();
        self.raw.insert(name.into(), Value::Array(samples));
    }

    /// The section as Markdown.
    pub fn section(&self) -> String {
        format!("## {}\n\n{}", self.title, self.text)
    }
}
