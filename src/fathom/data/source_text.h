// The text that a corpus is prepared from. For prepare.cpp.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "fathom/data/prepare.h"
#include "fathom/io/files.h"

namespace fathom {

class SourceText {
 public:
  explicit SourceText(std::string text) : text_(std::move(text)) {}
  explicit SourceText(MappedFile file) : file_(std::make_unique<MappedFile>(std::move(file))) {}
  std::string_view view() const {  // dies with this object
    if (!file_) return std::string_view(text_).substr(skipped_);
    const std::string_view all(reinterpret_cast<const char*>(file_->bytes().data()),
                               file_->bytes().size());
    return all.substr(skipped_);
  }
  // The first so many bytes are no part of the text.
  void skip(size_t bytes) { skipped_ = bytes; }
  // Throws when the file has been cut short.
  void require_whole() const {
    if (file_) file_->require_whole();
  }
  bool was_changed() const { return file_ && file_->was_changed(); }

 private:
  std::string text_;
  std::unique_ptr<MappedFile> file_;
  size_t skipped_ = 0;
};

// Maps options.what (reads it, where it is a pipe), or fetches the known corpus's text (download,
// program or options.input) and checks its length and SHA-256. `known` is null for a file. Throws
// Error.
SourceText load_source_text(const PrepareOptions& options, const KnownCorpus* known,
                            const PrepareProgress& progress);

}  // namespace fathom
