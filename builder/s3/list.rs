//! Answers to LIST (version 2).

use crate::xml::{Event, read};
use crate::{Error, Result};

/// Objects; a bucket of one cluster has fewer by far.
pub const LONGEST_LIST: usize = 400_000;
/// What is asked for, and what S3 gives at most.
pub const PAGE: usize = 1000;

/// An object in a bucket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object {
    /// All of its key.
    pub key: String,
    /// In bytes.
    pub size: u64,
}

/// One answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// In their order.
    pub objects: Vec<Object>,
    /// By which the next page is asked for, if there is one.
    pub next: Option<String>,
}

impl Page {
    /// Reads an answer.
    ///
    /// # Errors
    /// Where it is not one, or longer than what was asked for.
    pub fn read(text: &str) -> Result<Self> {
        let mut page = Reader::default();
        let read = read(text, |open, event| page.take(open, event));
        if page.page.objects.len() > PAGE {
            return Err(Error::Answer("a page of a list has more than 1000 objects"));
        }
        if read.is_none() || !page.is_list {
            return Err(Error::Answer("it is not a list of objects"));
        }
        match (page.is_truncated, page.page.next.is_some()) {
            (true, false) => Err(Error::Answer("a list goes on, and does not say where")),
            (false, true) => Ok(Self { next: None, ..page.page }),
            _ => Ok(page.page),
        }
    }
}

#[derive(Default)]
struct Reader {
    page: Page,
    is_list: bool,
    is_truncated: bool,
    element: String,
    key: Option<String>,
    size: Option<u64>,
}

impl Reader {
    fn take(&mut self, open: &[&str], event: Event<'_>) -> Option<()> {
        match event {
            Event::Start(name) => {
                if open.is_empty() {
                    self.is_list = name == "ListBucketResult";
                }
                name.clone_into(&mut self.element);
            }
            Event::End(text) => self.end(open, text)?,
        }
        Some(())
    }

    /// The end of an element; `open` are those around it.
    fn end(&mut self, open: &[&str], text: String) -> Option<()> {
        let element = std::mem::take(&mut self.element);
        match (open.len(), element.as_str()) {
            (1, "IsTruncated") => self.is_truncated = text.trim() == "true",
            (1, "NextContinuationToken") => self.page.next = Some(text).filter(|text| !text.is_empty()),
            (2, "Key") if open[1].ends_with("Contents") => self.key = Some(text),
            (2, "Size") if open[1].ends_with("Contents") => self.size = Some(text.trim().parse().ok()?),
            // The end of an element that had others in it.
            (1, "") => {
                if let (Some(key), Some(size)) = (self.key.take(), self.size.take()) {
                    self.page.objects.push(Object { key, size });
                }
                (self.page.objects.len() <= PAGE).then_some(())?;
            }
            _ => {}
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
        <ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix/>
        <KeyCount>2</KeyCount><IsTruncated>true</IsTruncated>
        <Contents><Key>a&amp;b &#233;&#x26;</Key><LastModified>x</LastModified><Size>7</Size>
        <Owner><ID>1</ID><DisplayName>Key</DisplayName></Owner><StorageClass>S</StorageClass></Contents>
        <Contents><Key>c</Key><Size>0</Size></Contents>
        <NextContinuationToken>t/+=</NextContinuationToken></ListBucketResult>"#;

    fn object(key: &str, size: u64) -> Object {
        Object { key: key.to_owned(), size }
    }

    #[test]
    fn a_list_is_read() {
        let page = Page::read(GOOD).unwrap();
        assert_eq!(page.objects, [object("a&b é&", 7), object("c", 0)]);
        assert_eq!(page.next.as_deref(), Some("t/+="));
        assert_eq!(Page::read(&GOOD.replace(">true<", ">false<")).unwrap().next, None);
        assert_eq!(Page::read("<ListBucketResult/>").unwrap(), Page::default());
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let bomb = "<!DOCTYPE l [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]>".to_owned()
            + &GOOD.replace("<Key>c", "<Key>&b;");
        let many = format!(
            "<ListBucketResult>{}</ListBucketResult>",
            "<Contents><Key>a</Key><Size>1</Size></Contents>".repeat(1001)
        );
        for (text, why) in [
            ("", "empty"),
            ("<html><body>no</body></html>", "another document"),
            ("<Error><Code>x</Code></Error>", "an error"),
            (bomb.as_str(), "a bomb"),
            (many.as_str(), "too many"),
            (&"<a>".repeat(100_000), "too deep"),
            (&GOOD[..GOOD.len() - 9], "cut"),
            (&GOOD.replace("&amp;", "&b;"), "an entity of its own"),
            (&GOOD.replace("<Size>7", "<Size>-7"), "a size below zero"),
            (&GOOD.replace("<Size>7", "<Size>99999999999999999999"), "a size without end"),
            (&GOOD.replace("</Contents>", "</Content>"), "crossed elements"),
            (&GOOD.replace("NextContinuationToken", "N"), "a page that goes nowhere"),
            (&GOOD.replace("<KeyCount>", "<![CDATA[x]]><KeyCount>"), "a section that is not read"),
        ] {
            assert!(Page::read(text).is_err(), "{why}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_is_a_panic(text in "(<|>|/|&|;|#|!|\\?|Key|Size|Contents|ListBucketResult|1|é|\\s){0,60}") {
            let _ = Page::read(&text);
            let _ = Page::read(&format!("<ListBucketResult>{text}</ListBucketResult>"));
        }
    }
}
