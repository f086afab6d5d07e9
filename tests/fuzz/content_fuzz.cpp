// What a file is by its content: known formats, texts with wide letters, and what is none of them.
#include "fathom/data/content_kind.h"

#include "fathom/data/text_scan.h"
#include "fuzz/fuzzing.h"

namespace fathom::fuzzing {
namespace {

bool has_controls(const std::string& text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return c >= 0 && c < 0x20 && c != '\n'; });
}

}  // namespace

FATHOM_FUZZ(in) {
  const std::string bytes = grown(in);
  const std::string_view head = std::string_view(bytes).substr(0, kContentHead);
  const std::string_view tail =
      std::string_view(bytes).substr(bytes.size() - std::min(bytes.size(), kContentTail));
  const bool taken = accepts(bytes.size(), [&] { require_text(bytes, "x.txt"); });
  require(taken == !other_than_text(bytes), "one answer");
  if (const auto kind = other_than_ids(head, tail, bytes.size()))
    require(!kind->what.empty() && is_printable(kind->what) && is_printable(kind->remedy),
            "a name");
  if (!scan_text(bytes).invalid_at && !has_controls(bytes) && bytes.substr(0, 5) != "%PDF-" &&
      bytes.substr(0, 7) != "version")
    require(taken, "a text is a text");
}

}  // namespace fathom::fuzzing
