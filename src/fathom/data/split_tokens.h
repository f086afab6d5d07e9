// A split whose text comes part by part, as the tokens that it has in one piece. For prepare*.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "fathom/data/corpus_writer.h"
#include "fathom/data/tokenizer.h"

namespace fathom {

class SplitTokens {
 public:
  // `tokenizer` must outlive it. With Specials::kTokens "<|endoftext|>" becomes its token where the
  // tokenizer has one, and is counted, however the parts cut it. At most about 4 MiB of text wait
  // for what follows.
  SplitTokens(const Tokenizer& tokenizer, Specials specials, SplitWriter writer);

  void text(std::string_view part);
  void end();  // the text is at its end: what comes next is another one
  void add(Span<const uint32_t> ids) { writer_.append(ids); }
  SplitWriter& writer() { return writer_; }
  uint64_t specials() const { return specials_; }  // counted

 private:
  void encode(std::string_view text);
  size_t take_specials();  // returns where what waits begins

  const Tokenizer& tokenizer_;
  Specials specials_are_;
  std::optional<uint32_t> end_of_text_;  // none: the mark is text
  SplitWriter writer_;
  std::string waiting_;
  size_t searched_ = 0;  // of what waits: no special begins before it
  uint64_t specials_ = 0;
};

}  // namespace fathom
