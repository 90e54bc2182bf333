//! `multipart/form-data`: the fields of a body. Files are left out: nobody signs them.

/// The boundary that a content type names, if it is multipart.
pub(super) fn boundary(content_type: &str) -> Option<&str> {
    let (media_type, parameters) = content_type.split_once(';')?;
    if !media_type.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    parameter(parameters, "boundary").filter(|boundary| !boundary.is_empty())
}

/// Names and values, as bytes. What isn't multipart has none.
pub(super) fn fields(body: &[u8], boundary: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    // Every part begins behind a boundary, and the first line break belongs to the boundary.
    let body = [b"\r\n", body].concat();
    let mark = format!("\r\n--{boundary}");
    split(&body, mark.as_bytes()).into_iter().skip(1).filter_map(field).collect()
}

fn field(part: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let part = part.strip_prefix(b"\r\n")?;
    let end = find(part, b"\r\n\r\n")?;
    let head = std::str::from_utf8(&part[..end]).ok()?;
    let disposition = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    })?;
    let (_, parameters) = disposition.split_once(';')?;
    if parameter(parameters, "filename").is_some() {
        return None;
    }
    let name = parameter(parameters, "name")?;
    Some((name.as_bytes().to_vec(), part[end + 4..].to_vec()))
}

fn parameter<'a>(parameters: &'a str, wanted: &str) -> Option<&'a str> {
    parameters.split(';').find_map(|part| {
        let (name, value) = part.split_once('=')?;
        let is_wanted = name.trim().eq_ignore_ascii_case(wanted);
        is_wanted.then(|| value.trim().trim_matches('"'))
    })
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

fn split<'a>(mut text: &'a [u8], mark: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    while let Some(at) = find(text, mark) {
        parts.push(&text[..at]);
        text = &text[at + mark.len()..];
    }
    parts.push(text);
    parts
}

#[cfg(test)]
mod tests {
    use super::{boundary, fields};

    #[test]
    fn fields_are_read_as_they_are_and_files_left_out() {
        let kind = "multipart/form-data; boundary=\"xX\"";
        assert_eq!(boundary(kind), Some("xX"));
        assert_eq!(boundary("application/x-www-form-urlencoded; boundary=a"), None);
        let body = "--xX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1+%20\r\n--x\r\n\
                    --xX\r\ncontent-disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\n\
                    file\r\n--xX--\r\n";
        let read = fields(body.as_bytes(), "xX");
        assert_eq!(read, [(b"a".to_vec(), b"1+%20\r\n--x".to_vec())]);
        for broken in ["", "--xX", "--xX\r\n", "--xX\r\nname=a\r\n\r\n1", "\r\n\r\n"] {
            assert!(fields(broken.as_bytes(), "xX").is_empty(), "{broken}");
        }
    }
}
