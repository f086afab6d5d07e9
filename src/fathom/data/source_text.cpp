#include "fathom/data/source_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/data/content_kind.h"
#include "fathom/data/documents.h"
#include "fathom/data/download.h"
#include "fathom/data/parquet_program.h"
#include "fathom/data/prepare_internal.h"

namespace fathom {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// "1Co13:4 Charity suffereth long" -> "Charity suffereth long", line by line. Any other line means
// that the program has changed its output, and would put its new form into the corpus unseen.
std::string strip_verse_numbers(std::string_view text) {
  std::string stripped;
  stripped.reserve(text.size());
  for (size_t line = 1, begin = 0; begin < text.size(); ++line) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view verse = text.substr(begin, end - begin);
    const size_t colon = verse.find(':'), space = verse.find(' ');
    if (space == std::string_view::npos || colon > space || colon == 0 || colon + 1 == space ||
        !is_digit(verse[colon - 1]) || !is_digit(verse[space - 1]))
      fail(fmt::format("line {} of the Bible begins with no verse such as \"Ge1:1 \": {}", line,
                       quoted_start(verse)),
           "--input takes what `bible -f gen1:1-rev22:21` prints");
    stripped += verse.substr(space + 1);
    stripped += '\n';
    begin = end + 1;
  }
  return stripped;
}

void check_text(const KnownCorpus& known, std::string_view text, const std::string& from) {
  if (known.sha256.empty()) return;
  const std::string hint = known.url.empty() ? "" : fmt::format("the text is at {}", known.url);
  if (text.size() != known.bytes)
    fail(fmt::format("the text from {} has {} bytes, that of {} has {}", from,
                     with_commas(static_cast<int64_t>(text.size())), known.name,
                     with_commas(static_cast<int64_t>(known.bytes))),
         hint);
  const std::string sha256 = sha256_hex(text);
  if (sha256 != known.sha256)
    fail(fmt::format("the text from {} has the SHA-256 {}, that of {} has {}", from, sha256,
                     known.name, known.sha256),
         hint);
}

void check_memory(uint64_t bytes, const std::string& path, const PrepareOptions& options) {
  if (bytes <= options.most_in_memory) return;
  fail(fmt::format("{} has more than the {} bytes that are held in memory", path,
                   with_commas(static_cast<int64_t>(options.most_in_memory))),
       "write what it gives into a file, then prepare that: a file is not held in memory");
}

// What a program makes of a file of rows that is packed, or of columns; null: it is neither.
std::unique_ptr<ByteStream> unpacked_rows(const std::string& path, const PrepareOptions& options) {
  const std::string head(PeekedStream(open_file_stream(path)).peek(16));
  if (head.substr(0, 4) == "PAR1")
    return open_program_stream(parquet_program(path, row_columns(options)), path);
  const Program* program = unpacker(head);
  return program != nullptr ? open_program_stream(*program, path) : nullptr;
}

std::string read_all(ByteStream& bytes, const std::string& path, const PrepareOptions& options,
                     const PrepareProgress& progress) {
  constexpr size_t kPiece = 1 << 20;
  std::string text;
  for (size_t got = kPiece; got > 0;) {
    const size_t before = text.size();
    text.resize(before + kPiece);
    got = bytes.read(text.data() + before, kPiece);
    text.resize(before + got);
    check_memory(text.size(), path, options);
    if (progress) progress("read", text.size(), 0);
  }
  return text;
}

// A file is mapped; a pipe has to be in memory.
SourceText open_text(const std::string& path, const PrepareOptions& options,
                     const PrepareProgress& progress) {
  if (reads_rows(options) && kind_of(path) == PathKind::kFile)
    if (const auto rows = unpacked_rows(path, options))
      return SourceText(read_all(*rows, path, options, progress));
  if (kind_of(path) != PathKind::kStream) {
    MappedFile file(path);
    if (file.bytes().size() > 0) return SourceText(std::move(file));
  }
  // Files of /proc too, whose size is told as 0.
  const auto waiting = [&](uint64_t done) {
    check_memory(done, path, options);
    if (progress) progress("read", done, 0);
  };
  return SourceText(read_stream(path, std::numeric_limits<uint64_t>::max(), waiting,
                                [&](std::string_view start) { require_text_start(start, path); }));
}

SourceText fetch(const PrepareOptions& options, const KnownCorpus& known,
                 const PrepareProgress& progress) {
  if (!options.input.empty()) return open_text(options.input, options, progress);
  if (!known.program.empty())
    return SourceText(program_output(known.program, fmt::format("apt install {}", known.package)));
  DownloadOptions request;
  request.url = options.url.empty() ? known.url : options.url;
  request.timeout = options.timeout;
  request.max_bytes = known.bytes;
  request.progress = [&](uint64_t done, uint64_t total) {
    if (progress) progress("download", done, total);
  };
  return SourceText(download(
      request,
      fmt::format("`fathom prepare {} --input FILE` takes a copy of {}", known.name, known.url)));
}

}  // namespace

SourceText load_source_text(const PrepareOptions& options, const KnownCorpus* known,
                            const PrepareProgress& progress) {
  if (!known) return open_text(options.what, options, progress);
  SourceText text = fetch(options, *known, progress);
  const std::string& from = !options.input.empty()    ? options.input
                            : !options.url.empty()    ? options.url
                            : !known->program.empty() ? known->program.front()
                                                      : known->url;
  check_text(*known, text.view(), from);
  if (known->verse_numbers) return SourceText(strip_verse_numbers(text.view()));
  return text;
}

}  // namespace fathom
