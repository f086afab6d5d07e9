#include "fathom/study/asked/typed_text.h"

#include <fmt/format.h>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/config/path_text.h"
#include "fathom/io/files.h"

namespace fathom {
namespace {

constexpr size_t kMaxPromptBytes = 16 << 20;

}  // namespace

std::string start_text(const std::string& start) {
  if (start == "FILE:") misuse("FILE: names no file", "write FILE:path");
  if (start == "FILE:-") return read_once("/dev/stdin", kMaxPromptBytes);
  if (start.rfind("FILE:", 0) == 0)
    return read_once(home_expanded(path_from_text(start.substr(5))), kMaxPromptBytes);
  std::string out;
  for (size_t i = 0; i < start.size(); ++i) {
    const char next = i + 1 < start.size() ? start[i + 1] : '\0';
    if (start[i] == '\\' && (next == 'n' || next == 't' || next == '\\'))
      out += next == 'n' ? '\n' : next == 't' ? '\t' : '\\', ++i;
    else
      out += start[i];
  }
  return out;
}

std::vector<uint32_t> encode_typed(const Tokenizer& tokenizer, const std::string& text) {
  try {
    return encode_with_specials(tokenizer, text);
  } catch (const Error& e) {
    if (std::string_view(e.what()).find(in_quotes("\\")) == std::string_view::npos) throw;
    throw Error(e.kind(), e.what(),
                R"(of escapes there are \n, \t and \\, and FILE:path takes a file's bytes; else )" +
                    e.hint());
  }
}

}  // namespace fathom
