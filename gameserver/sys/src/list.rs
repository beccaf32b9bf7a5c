//! Lists of numbers as the kernel writes them: ranges, ascending, separated by commas.

/// Why a text is no such list.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ListError {
    #[error("{0:?} is no number and no range of numbers")]
    Malformed(String),
    #[error("{0} does not come after the number before it")]
    NotAscending(usize),
    #[error("{number} is not below {end}")]
    TooHigh { number: usize, end: usize },
}

/// `0-3,8` is 0, 1, 2, 3 and 8; an empty text is no number. Each number is below `end`, which bounds the list as well.
pub(crate) fn parse_list(text: &str, end: usize) -> Result<Vec<usize>, ListError> {
    let mut numbers = Vec::new();
    let text = text.trim();
    for range in text.split(',').filter(|_| !text.is_empty()) {
        let malformed = || ListError::Malformed(range.to_owned());
        let number = |text: &str| text.parse::<usize>().ok().ok_or_else(malformed);
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (number(first)?, number(last)?);
        if last >= end {
            return Err(ListError::TooHigh { number: last, end });
        }
        if last < first || numbers.last().is_some_and(|&before| first <= before) {
            return Err(ListError::NotAscending(if last < first { last } else { first }));
        }
        numbers.extend(first..=last);
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_read_as_the_kernel_writes_them() {
        let cases: [(&str, &[usize]); 6] = [
            ("0-3,8\n", &[0, 1, 2, 3, 8]),
            ("0-3,8-11\n", &[0, 1, 2, 3, 8, 9, 10, 11]),
            ("5", &[5]),
            ("5-5", &[5]),
            ("", &[]),
            ("\n", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_list(text, 1024).as_deref(), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn what_the_kernel_never_writes_is_refused_and_named() {
        let malformed = |text: &str| ListError::Malformed(text.to_owned());
        let cases = [
            ("a-b", malformed("a-b")),
            ("0,,1", malformed("")),
            ("-1", malformed("-1")),
            ("0-3:2/4", malformed("0-3:2/4")),
            ("3-1", ListError::NotAscending(1)),
            ("4,2", ListError::NotAscending(2)),
            ("0-3,3", ListError::NotAscending(3)),
            ("8", ListError::TooHigh { number: 8, end: 8 }),
            // as long as memory would be filled otherwise
            ("0-18446744073709551615", ListError::TooHigh { number: usize::MAX, end: 8 }),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_list(text, 8), Err(expected), "{text:?}");
        }
    }
}
