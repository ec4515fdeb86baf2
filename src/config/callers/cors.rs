//! `CORS_ORIGINS`: the origins whose pages may call.

/// Origins whose pages may call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum CorsOrigins {
    /// No other origin.
    #[default]
    None,
    /// Any origin.
    Any,
    /// These origins, as browsers write them: `https://shop.example`.
    Listed(Vec<String>),
}

/// A comma-separated list of origins, or `*`.
pub(in crate::config) fn cors_origins(text: &str) -> Result<CorsOrigins, String> {
    if text == "*" {
        return Ok(CorsOrigins::Any);
    }
    let listed = text.split(',').map(str::trim).filter(|origin| !origin.is_empty());
    let listed: Vec<_> = listed.map(str::to_owned).collect();
    if listed.is_empty() {
        return Ok(CorsOrigins::None);
    }
    if !listed.iter().all(|origin| is_origin(origin)) {
        let rule = "must be * or a comma-separated list of origins such as https://shop.example";
        return Err(rule.into());
    }
    Ok(CorsOrigins::Listed(listed))
}

/// Whether a browser can send this origin: scheme, host and optional port, nothing else (RFC 6454, 7).
pub(super) fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return false };
    let is_host = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._:[]".contains(c);
    matches!(scheme, "http" | "https") && !host.is_empty() && host.chars().all(is_host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn any_origin_may_call_only_with_tokens() {
        let config = |variables: &[_]| Config::of(variables).map_err(|error| error.to_string());
        let any = ("CORS_ORIGINS", "*");
        for open in [&[any][..], &[any, ("AUTH", "off")]] {
            let told = config(open).expect_err("open to all pages");
            assert!(told.contains("CORS_ORIGINS must not be * with AUTH=off"), "{told}");
        }
        let tokens = [any, ("AUTH", "jwt"), ("JWT_JWKS", "keys.json")];
        assert_eq!(config(&tokens).expect("sound").cors_origins, CorsOrigins::Any);
        assert!(config(&[("CORS_ORIGINS", "https://shop.example")]).is_ok());
    }

    #[test]
    fn origins_are_written_as_browsers_write_them() {
        assert_eq!(cors_origins(""), Ok(CorsOrigins::None));
        assert_eq!(cors_origins("*"), Ok(CorsOrigins::Any));
        let listed = cors_origins("https://a.example, http://localhost:3000").expect("sound");
        let CorsOrigins::Listed(listed) = listed else { panic!("{listed:?}") };
        assert_eq!(listed, ["https://a.example", "http://localhost:3000"]);
        for text in ["a.example", "https://a.example/", "https://A.example", "null", "https://*"] {
            assert!(cors_origins(text).is_err(), "{text}");
        }
    }
}
