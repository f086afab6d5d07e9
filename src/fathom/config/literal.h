// Literals as they are typed on a command line or in a nanoGPT config file: Python's and JSON's
// spellings of null, booleans, numbers, strings and lists. Parsed, never executed.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace fathom {

// `None`, `null`, `true`/`True`, `12`, `1_000`, `1e-3`, `'text'`, `"text"`, `[1, [2, 3]]`, `(1,
// 2)`. Throws Error(kUsage) with the offending position.
nlohmann::json parse_literal(std::string_view text);

// The spelling that parse_literal() reads back to the same value: floats keep a point or exponent
// and are as short as round-tripping allows.
std::string to_literal(const nlohmann::json& value);

// A field's type, as one is told who gave another value: "bool" is "true or false".
std::string type_in_words(const std::string& type);

}  // namespace fathom
