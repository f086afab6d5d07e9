// Whether bytes are a text's at all, by how many of them are control characters.
#pragma once

#include <string>
#include <string_view>

namespace fathom {

// Bytes from many places of a text, its beginning and its end among them; all of a short one.
std::string spread_sample(std::string_view text);

// "binary data (8 % of it are control characters)"; empty: it may be a text in any encoding. A few
// control characters, or some that stand between texts (NUL, SOH, RS, escape sequences), are no
// reason.
std::string binary_kind(std::string_view sample);

}  // namespace fathom
