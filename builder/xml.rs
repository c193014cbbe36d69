//! XML made from values: markup characters in them are escaped.

use quick_xml::events::BytesText;
use quick_xml::writer::Writer;

use crate::failure::{Failure, Result};

/// An XML element: attributes in order, then text or children.
pub struct Element {
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    text: Option<String>,
    children: Vec<Element>,
}

pub fn element(name: &'static str) -> Element {
    Element { name, attributes: Vec::new(), text: None, children: Vec::new() }
}

impl Element {
    pub fn with(mut self, attribute: &'static str, value: impl ToString) -> Self {
        self.attributes.push((attribute, value.to_string()));
        self
    }

    pub fn text(mut self, text: impl ToString) -> Self {
        self.text = Some(text.to_string());
        self
    }

    pub fn containing(mut self, children: impl IntoIterator<Item = Element>) -> Self {
        self.children.extend(children);
        self
    }

    fn write(&self, writer: &mut Writer<Vec<u8>>) -> std::io::Result<()> {
        let attributes = self.attributes.iter().map(|(name, value)| (*name, value.as_str()));
        let start = writer.create_element(self.name).with_attributes(attributes);
        match &self.text {
            Some(text) => start.write_text_content(BytesText::new(text))?,
            None if self.children.is_empty() => start.write_empty()?,
            None => {
                start.write_inner_content(|writer| self.children.iter().try_for_each(|c| c.write(writer)))?
            }
        };
        Ok(())
    }

    /// With a newline at its end.
    ///
    /// # Errors
    /// None that input can cause.
    pub fn document(&self) -> Result<Vec<u8>> {
        let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
        self.write(&mut writer).map_err(|error| Failure::io(format!("writing XML: {error}")))?;
        let mut bytes = writer.into_inner();
        bytes.push(b'\n');
        Ok(bytes)
    }
}
