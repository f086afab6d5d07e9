// Rows of JSON lines: a prompt and its answer, or a text. What data sets are published as, read
// into one form.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace fathom {

inline constexpr size_t kMostRowBytes = 64 << 20;  // of one line; a longer one is refused

struct Row {
  bool is_text = false;       // else a prompt and its answer
  std::string prompt, truth;  // the prompt may be empty, and the answer
  std::string title, text;    // the title may be empty
};
bool operator==(const Row& a, const Row& b);

// Where a row's parts are. Several fields by commas are joined by newlines, those that are not
// there left out.
struct RowFields {
  std::string prompt = "prompt", truth = "truth", text = "text", title = "title";
};

// A line. None: it has neither an answer nor a text. A field that is null is not there; what is no
// text is its JSON.
//
// The answer makes a row one of prompt and answer. Else a conversation does ("messages" of {role,
// content}, or "conversations" of {from, value}): the last message of the assistant is the answer,
// and the messages before it are the prompt, each as "User:\n<content>\n", with "Assistant:\n" at
// the end. Else the text makes it a text.
//
// `name` is for errors: "rows.jsonl, line 3". Throws Error for what is no JSON object, and for a
// line above kMostRowBytes.
std::optional<Row> read_row(std::string_view line, const RowFields& fields,
                            const std::string& name);

// {"prompt": ..., "truth": ...} or {"title": ..., "text": ...} in one line, without its end. Reads
// back as it was.
std::string row_line(const Row& row);

// The names of a line's fields, for a message; empty where it is no object.
std::string shown_fields(std::string_view line);

}  // namespace fathom
