#include "fathom/data/documents.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/data/content_kind.h"
#include "fathom/data/parquet_program.h"
#include "fathom/io/json_text.h"

namespace fathom {
namespace {

using nlohmann::json;

constexpr size_t kPieceBytes = 1 << 20;
constexpr size_t kHeadBytes = 1 << 16;
constexpr int kMostLayers = 4;  // of archives, one in the other

using std::string_view;

bool begins(string_view text, string_view start) {
  return text.substr(0, start.size()) == start;
}
bool ends(string_view text, string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

bool is_tar(string_view head) {
  return head.size() >= 512 && begins(head.substr(257), "ustar");
}
// The first characters that are no blanks, line ends included.
std::string dense(string_view head, size_t count) {
  std::string out;
  for (const char c : head) {
    if (out.size() == count) break;
    if (string_view(" \t\r\n").find(c) == string_view::npos) out += c;
  }
  return out;
}
string_view without_packer(string_view name) {
  for (const string_view packed : {".xz", ".gz", ".zst", ".bz2"})
    if (ends(name, packed)) name.remove_suffix(packed.size());
  return name;
}
bool is_called_json_lines(string_view name) {
  name = without_packer(name);
  return ends(name, ".jsonl") || ends(name, ".ndjson");
}
bool is_json_list(string_view head) {
  return dense(head, 3) == "[{\"";
}

class DocumentReader {
 public:
  DocumentReader(const std::string& name, const DocumentForm& form, DocumentSink& sink)
      : name_(name), form_(form), sink_(sink) {}

  // What is not packed.
  bool read(PeekedStream& bytes) {
    const string_view head = bytes.peek(kHeadBytes);
    if (is_tar(head)) {
      const bool more = read_archive(bytes);
      if (!texts_ && !others_.empty())
        fail(fmt::format("{} holds no .txt file, but others such as {}", name_,
                         quoted_start(others_)),
             "of an archive the .txt files are read: unpack it, and give what it holds");
      return more;
    }
    if (is_json_list(head))
      fail(fmt::format("{} is one JSON list, not JSON lines", name_),
           "`jq -c '.[]' FILE > rows.jsonl` writes each of its objects as a line");
    if (is_called_json_lines(name_) || dense(head, 2) == "{\"")
      return read_json_lines(bytes, name_, form_, sink_);
    return read_text(bytes);
  }

 private:
  bool read_archive(ByteStream& bytes) {
    return read_tar(bytes, name_, [&](const std::string& member, std::string content) {
      if (const Program* program = unpacker(content); program != nullptr) {
        if (depth_ == kMostLayers)
          fail(fmt::format("{} has archives in archives, {} levels deep", name_, depth_));
        ++depth_;
        const std::unique_ptr<ByteStream> inner = open_program_stream_over(*program, content);
        content.clear();
        content.shrink_to_fit();
        PeekedStream peeked(std::make_unique<Borrowed>(*inner));
        const bool more =
            is_tar(peeked.peek(512)) ? read_archive(peeked) : add_if_text(member, all_of(peeked));
        --depth_;
        return more;
      }
      return add_if_text(member, std::move(content));
    });
  }

  // Of another's stream.
  class Borrowed : public ByteStream {
   public:
    explicit Borrowed(ByteStream& stream) : stream_(stream) {}
    size_t read(char* out, size_t size) override { return stream_.read(out, size); }
    uint64_t position() const override { return stream_.position(); }

   private:
    ByteStream& stream_;
  };

  std::string all_of(ByteStream& bytes) const {
    std::string text;
    for (;;) {
      const size_t before = text.size();
      text.resize(before + kHeadBytes);
      const size_t got = bytes.read(text.data() + before, kHeadBytes);
      text.resize(before + got);
      if (got == 0) return text;
      if (text.size() > kMaxDocumentBytes)
        fail(fmt::format("{} has a document of more than {} bytes", name_, kMaxDocumentBytes));
    }
  }

  bool add_if_text(string_view member, std::string content) {
    if (!ends(without_packer(member), ".txt")) {  // notes of those who made the archive
      others_ = member;
      return true;
    }
    texts_ = true;
    const std::string text = form_.tidy ? tidied(content) : std::move(content);
    if (text.empty()) return true;
    if (!sink_.begin()) return false;
    sink_.text(text);
    return true;
  }

  bool read_text(PeekedStream& bytes) {
    const string_view head = bytes.peek(kContentHead);
    if (const auto kind = other_than_text(head, {}, head.size()))
      fail(fmt::format("{} is {}, not a text", name_, kind->what),
           text_hint(*kind, "give JSON lines, Parquet or text, also packed by gzip, zstd or xz"));
    std::string piece(kPieceBytes, '\0');
    bool begun = false;
    while (const size_t n = bytes.read(piece.data(), piece.size())) {
      if (!begun && !sink_.begin()) return false;
      begun = true;
      sink_.text(string_view(piece).substr(0, n));
    }
    return true;
  }

  const std::string& name_;
  const DocumentForm& form_;
  DocumentSink& sink_;
  int depth_ = 0;
  bool texts_ = false;  // there is one
  std::string others_;  // the last file that is none
};

// One line, without its end. False: there is none.
class LineReader {
 public:
  LineReader(ByteStream& bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  bool next(string_view& line) {
    buffer_.erase(0, taken_);
    taken_ = 0;
    for (size_t looked = 0;;) {
      const size_t end = buffer_.find('\n', looked);
      if (end != buffer_.npos || at_end_) {
        if (end == buffer_.npos && buffer_.empty()) return false;
        line = string_view(buffer_).substr(0, end);
        taken_ = std::min(line.size() + 1, buffer_.size());
        ++number_;
        return true;
      }
      looked = buffer_.size();
      if (looked > kMaxJsonLineBytes)
        fail(fmt::format("{}: line {} has more than {} bytes", name_, number_ + 1,
                         kMaxJsonLineBytes),
             "a row is a line of its own");
      buffer_.resize(looked + kHeadBytes);
      const size_t got = bytes_.read(buffer_.data() + looked, kHeadBytes);
      buffer_.resize(looked + got);
      at_end_ = got == 0;
    }
  }
  uint64_t number() const { return number_; }

 private:
  ByteStream& bytes_;
  const std::string& name_;
  std::string buffer_;
  size_t taken_ = 0;
  uint64_t number_ = 0;  // of the last line, from 1
  bool at_end_ = false;
};

// A row's field; empty where it is not there or null.
std::string field_of(const json& row, const char* field, const std::string& place) {
  const auto found = row.find(field);
  if (found == row.end() || found->is_null()) return "";
  if (!found->is_string())
    fail(fmt::format("{}: \"{}\" is {}, not a text", place, field, shown_json(*found)),
         "a document is the text under \"text\"");
  return *found;
}

}  // namespace

const Program* unpacker(string_view head) {
  using namespace std::string_view_literals;
  static const Program gzip = {{"gzip", "-dc"}, "apt install gzip"},
                       zstd = {{"zstd", "-dcq"}, "apt install zstd"},
                       xz = {{"xz", "-dc", "--memlimit-decompress=1GiB"}, "apt install xz-utils"},
                       bzip2 = {{"bzip2", "-dc"}, "apt install bzip2"};
  if (begins(head, "\x1f\x8b\x08"sv)) return &gzip;
  if (begins(head, "\x28\xb5\x2f\xfd"sv)) return &zstd;
  if (begins(head, "\xfd\x37\x7a\x58\x5a\x00"sv)) return &xz;
  if (begins(head, "BZh"sv) && begins(head.substr(std::min<size_t>(4, head.size())), "1AY&SY"sv))
    return &bzip2;
  return nullptr;
}

std::string tidied(string_view text) {
  std::string out;
  size_t newlines = 0;
  for (const char c : trim(text)) {
    newlines = c == '\n' ? newlines + 1 : 0;
    if (newlines <= 2) out += c;
  }
  return out;
}

bool read_json_lines(ByteStream& bytes, const std::string& name, const DocumentForm& form,
                     DocumentSink& sink) {
  LineReader lines(bytes, name);
  for (string_view line; lines.next(line);) {
    if (trim(line).empty()) continue;
    const std::string place = fmt::format("{}: line {}", name, lines.number());
    const json row = parse_json(line, place);
    if (!row.is_object() || !row.contains("text"))
      fail(fmt::format("{} is not an object with a \"text\"", place),
           "a document is the text under \"text\"");
    const std::string text = field_of(row, "text", place);
    if (text.empty() && !form.joined) continue;
    if (!sink.begin()) return false;
    if (form.titled)
      if (const std::string title = field_of(row, "title", place); !title.empty())
        sink.text("Title: " + title + "\n");
    sink.text(text);
  }
  return true;
}

bool read_documents(const std::string& path, const DocumentForm& form, DocumentSink& sink,
                    const std::function<void(uint64_t)>& place) {
  // Tells the place while it is read.
  class Told : public ByteStream {
   public:
    Told(std::unique_ptr<ByteStream> stream, const std::function<void(uint64_t)>& place)
        : stream_(std::move(stream)), place_(place) {}
    size_t read(char* out, size_t size) override {
      if (place_) place_(stream_->position());
      return stream_->read(out, size);
    }
    uint64_t position() const override { return stream_->position(); }

   private:
    std::unique_ptr<ByteStream> stream_;
    const std::function<void(uint64_t)>& place_;
  };

  std::unique_ptr<ByteStream> stream = open_file_stream(path);
  std::string head = std::string(PeekedStream(std::move(stream)).peek(kHeadBytes));
  if (begins(head, "PAR1")) {
    const Program program =
        parquet_program(path, form.titled ? Columns{"text", "title"} : Columns{"text"});
    Told rows(open_program_stream(program, path), place);
    return read_json_lines(rows, path, form, sink);
  }
  const Program* program = unpacker(head);
  auto bytes = std::make_unique<PeekedStream>(std::make_unique<Told>(
      program != nullptr ? open_program_stream(*program, path) : open_file_stream(path), place));
  if (unpacker(bytes->peek(16)) != nullptr)
    fail(fmt::format("{} is packed twice", path), "unpack it once, then give what comes out");
  return DocumentReader(path, form, sink).read(*bytes);
}

}  // namespace fathom
