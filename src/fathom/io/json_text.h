// JSON from outside, and to it.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace fathom {

// The value that `text` holds. Throws Error that begins with `name` for what is not JSON, a number
// that no double holds, and a value nested deeper than any file of ours: what copies, compares or
// writes a value goes down with its depth, and the stack is small beside a file.
nlohmann::json parse_json(std::string_view text, const std::string& name);

// The same with the members of objects in the order of the text. Throws also for a name that an
// object has twice, and for an object of more members than anybody writes by hand.
nlohmann::ordered_json parse_ordered_json(std::string_view text, const std::string& name);

// The one way in which JSON is written: a byte that is not UTF-8 becomes U+FFFD, for no library's
// exception may end work that is done. `indent`: spaces a level; -1: all in one line.
std::string json_text(const nlohmann::json& value, int indent = -1);

// A value for a message: scalars as they are written, "a list" and "an object".
std::string shown_json(const nlohmann::json& value);

}  // namespace fathom
