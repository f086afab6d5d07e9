#include "fathom/data/shard.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/data/content_kind.h"
#include "fathom/data/npy_header.h"
#include "fathom/data/shard_facts.h"

namespace fathom {
namespace {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "shards are read as they lie on disk");

constexpr int32_t kLlmCMagic = 20240520;
constexpr int32_t kLlmCVersion = 1;
using LlmCHeader = std::array<int32_t, 256>;

constexpr const char* kMendHint = "copy or prepare the file again";

void check_llmc(const LlmCHeader& header, uint64_t file_bytes, const std::string& path) {
  if (header[1] != kLlmCVersion)
    fail(fmt::format("{} is a corrupt llm.c shard: its version is {}, known is {}", path, header[1],
                     kLlmCVersion),
         kMendHint);
  const uint64_t data = file_bytes - sizeof header;
  if (header[2] < 0 || data % 2 != 0 || data / 2 != static_cast<uint64_t>(header[2]))
    fail(fmt::format("{} is a corrupt llm.c shard: its header promises {} tokens, the file has {} "
                     "bytes of them",
                     path, header[2], data),
         kMendHint);
}

// llm.c's files begin with the day that their kind was made up. `header` is zero behind the file.
void refuse_other_llmc(const LlmCHeader& header, const std::string& path) {
  static constexpr std::pair<int32_t, const char*> kKinds[] = {
      {20240326, "weights"},
      {20240327, "a state for debugging"},
      {20240328, "a tokenizer"},
      {20240522, "questions of an evaluation"},
      {20240527, "the state of a training"},
      {20240801, "Llama 3's tokens of 32 bits"},
      {20240803, "Llama 3's weights"}};
  const auto swapped = [](int32_t n) {
    return static_cast<int32_t>(__builtin_bswap32(static_cast<uint32_t>(n)));
  };
  if (header[0] == swapped(kLlmCMagic) && header[1] == swapped(kLlmCVersion))
    fail(fmt::format("{} is an llm.c shard with its bytes the wrong way round", path),
         "read it by numpy.fromfile(path, '>u2') and save it as a .npy of uint16");
  // Ids may look like a day; they do not have a small number and hundreds of zeros behind it.
  if (header[0] < 20240101 || header[0] > 20291231 || header[0] == kLlmCMagic || header[1] < 1 ||
      header[1] > 100 ||
      std::any_of(header.begin() + 16, header.end(), [](int32_t n) { return n != 0; }))
    return;
  const auto* known = std::find_if(std::begin(kKinds), std::end(kKinds),
                                   [&](const auto& kind) { return kind.first == header[0]; });
  fail(fmt::format("{} is no shard of uint16 ids: it is llm.c's file of kind {}{}", path, header[0],
                   known == std::end(kKinds) ? "" : fmt::format(", {}", known->second)),
       fmt::format("shards are of kind {}; a text is prepared by `fathom prepare`", kLlmCMagic));
}

}  // namespace

std::string shard_format_name(ShardFormat format) {
  switch (format) {
    case ShardFormat::kNanoGpt:
      return "nanogpt";
    case ShardFormat::kLlmC:
      return "llmc";
    case ShardFormat::kNpy:
      return "npy";
  }
  return "";
}

TokenShard::TokenShard(const std::string& path) : path_(path), file_(path) {
  const Span<const std::byte> bytes = file_.bytes();
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.empty()) fail(fmt::format("the shard {} is empty", path), kMendHint);
  if (text.substr(0, kNpyMagic.size()) == kNpyMagic) {
    const NpyHeader header = read_npy_header(text, path);
    format_ = ShardFormat::kNpy;
    start_ = header.start;
    size_ = header.count;
  } else {
    LlmCHeader header{};
    std::memcpy(header.data(), text.data(), std::min(text.size(), sizeof header));
    refuse_other_llmc(header, path);
    if (header[0] == kLlmCMagic) {
      if (text.size() < sizeof header)
        fail(fmt::format("{} is a corrupt llm.c shard: it ends within its header", path),
             kMendHint);
      check_llmc(header, text.size(), path);
      format_ = ShardFormat::kLlmC;
      start_ = sizeof header;
    } else if (text.size() % 2 != 0) {
      const std::string_view tail = text.substr(text.size() - std::min(text.size(), kContentTail));
      if (const auto kind = other_than_ids(text.substr(0, kContentHead), tail, text.size()))
        require_uint16(*this, {0, 0, kind->what, kind->remedy});
      fail(fmt::format("the shard {} has {} bytes, an odd number: tokens are two bytes each", path,
                       text.size()),
           kMendHint);
    }
    size_ = (text.size() - start_) / 2;
  }
  if (size_ == 0) fail(fmt::format("the shard {} has no tokens", path), kMendHint);
}

void TokenShard::copy(uint64_t offset, Span<int64_t> out) const {
  if (offset > size_ || out.size() > size_ - offset)
    fail(fmt::format("tokens {} to {} were asked of {}, which has {}", offset, offset + out.size(),
                     path_, size_));
  // Not from the mapping: training reads for hours, and must not die of a shard that shrinks.
  std::vector<uint16_t> tokens(out.size());
  file_.read(start_ + 2 * offset, {reinterpret_cast<std::byte*>(tokens.data()), 2 * tokens.size()});
  std::copy(tokens.begin(), tokens.end(), out.begin());
}

uint16_t TokenShard::max_token() const {
  const std::byte* source = file_.bytes().data() + start_;
  uint16_t largest = 0;
  for (uint64_t i = 0; i < size_; ++i) {
    uint16_t token;
    std::memcpy(&token, source + 2 * i, sizeof token);
    largest = std::max(largest, token);
  }
  return largest;
}

ShardWriter::ShardWriter(const std::string& path, ShardFormat format)
    : path_(written_path(path)), part_(path_ + ".part"), format_(format) {
  if (format == ShardFormat::kNpy) misuse("shards are written as llmc or nanogpt, not as npy");
  file_ = ::open(part_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file_ < 0) fail_system("create");
  // Room for the header, which finish() fills in once it knows the count.
  if (format == ShardFormat::kLlmC) ::lseek(file_, sizeof(LlmCHeader), SEEK_SET);
}

ShardWriter::~ShardWriter() {
  if (file_ < 0) return;
  ::close(file_);
  ::unlink(part_.c_str());
}

void ShardWriter::append(Span<const uint32_t> ids) {
  std::vector<uint16_t> tokens(ids.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= kShardIdLimit)
      fail(fmt::format("token {} at position {} does not fit a shard: ids are below {}", ids[i],
                       size_ + i, kShardIdLimit),
           "use a tokenizer of at most 65,536 tokens");
    tokens[i] = static_cast<uint16_t>(ids[i]);
  }
  write(tokens.data(), tokens.size() * sizeof(uint16_t));
  size_ += ids.size();
}

void ShardWriter::finish() {
  if (size_ == 0) fail(fmt::format("the shard {} would have no tokens", path_));
  if (format_ == ShardFormat::kLlmC) {
    if (size_ > static_cast<uint64_t>(std::numeric_limits<int32_t>::max()))
      fail(fmt::format("{} tokens are too many for one llm.c shard, which counts them in 31 bits",
                       size_),
           "write several shards");
    LlmCHeader header{};
    header[0] = kLlmCMagic;
    header[1] = kLlmCVersion;
    header[2] = static_cast<int32_t>(size_);
    if (::lseek(file_, 0, SEEK_SET) != 0) fail_system("write");
    write(header.data(), sizeof header);
  }
  if (::fsync(file_) != 0) fail_system("write");
  if (std::rename(part_.c_str(), path_.c_str()) != 0) fail_system("write");
  ::close(std::exchange(file_, -1));
}

void ShardWriter::write(const void* data, size_t bytes) {
  const char* rest = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = ::write(file_, rest, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail_system("write");
    rest += written;
    bytes -= static_cast<size_t>(written);
  }
}

void ShardWriter::fail_system(const char* action) const {
  throw SystemError(action, path_, errno);
}

}  // namespace fathom
