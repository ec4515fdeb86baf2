//! `PUBLIC_URL` and `RETURN_ORIGINS`: pages around a payment.

use super::cors::is_origin;

/// The address of the service as payers see it: an origin, or `None` if empty.
pub(in crate::config) fn public_url(text: &str) -> Result<Option<String>, String> {
    let origin = text.trim_end_matches('/');
    if origin.is_empty() || is_origin(origin) {
        return Ok((!origin.is_empty()).then(|| origin.to_owned()));
    }
    Err("must be an origin such as https://flights.example, or empty".into())
}

/// Origins to which a payer may return, comma-separated.
pub(in crate::config) fn return_origins(text: &str) -> Result<Vec<String>, String> {
    let listed = text.split(',').map(str::trim).filter(|origin| !origin.is_empty());
    let listed: Vec<_> = listed.map(str::to_owned).collect();
    if listed.iter().all(|origin| is_origin(origin)) {
        return Ok(listed);
    }
    Err("must be a comma-separated list of origins such as https://shop.example".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_origins_are_accepted() {
        assert_eq!(public_url(""), Ok(None));
        assert_eq!(public_url("https://a.example/"), Ok(Some("https://a.example".to_owned())));
        for text in ["a.example", "https://a.example/path", "ftp://a.example", "https://A.example"]
        {
            assert!(public_url(text).is_err(), "{text}");
            assert!(return_origins(&format!("https://b.example,{text}")).is_err(), "{text}");
        }
        let listed = return_origins("https://a.example, http://localhost:3000").expect("sound");
        assert_eq!(listed, ["https://a.example", "http://localhost:3000"]);
    }
}
