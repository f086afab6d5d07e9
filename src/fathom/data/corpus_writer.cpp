#include "fathom/data/corpus_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "fathom/io/files.h"

namespace fs = std::filesystem;

namespace fathom {

SplitWriter::SplitWriter(std::string folder, std::string split, ShardFormat format,
                         uint64_t shard_tokens)
    : folder_(std::move(folder)),
      split_(std::move(split)),
      format_(format),
      shard_tokens_(shard_tokens) {}

void SplitWriter::append(Span<const uint32_t> ids) {
  while (!ids.empty()) {
    if (!shard_) {
      const std::string file = fmt::format("{}_{:06}.bin", split_, entries_.size());
      entries_.push_back({{"file", file}});
      shard_ = std::make_unique<ShardWriter>((fs::path(folder_) / file).string(), format_);
    }
    const size_t count = std::min<uint64_t>(ids.size(), shard_tokens_ - shard_->size());
    shard_->append(ids.subspan(0, count));
    size_ += count;
    ids = ids.subspan(count, ids.size() - count);
    if (shard_->size() == shard_tokens_) finish_shard();
  }
}

void SplitWriter::finish_shard() {
  shard_->finish();
  nlohmann::json& entry = entries_.back();
  const std::string path = (fs::path(folder_) / entry["file"].get<std::string>()).string();
  entry["tokens"] = shard_->size();
  std::error_code reason;
  entry["bytes"] = fs::file_size(path, reason);
  if (reason) throw SystemError("look at", path, reason.value());
  entry["xxh3"] = xxh3_hex(xxh3_file(path));
  shard_.reset();
}

nlohmann::json SplitWriter::finish() {
  if (shard_) finish_shard();
  if (entries_.size() == 1) {
    const std::string file = split_ + ".bin";
    std::error_code reason;
    fs::rename(fs::path(folder_) / entries_[0]["file"].get<std::string>(), fs::path(folder_) / file,
               reason);
    if (reason) throw SystemError("rename", folder_ + "/" + file, reason.value());
    entries_[0]["file"] = file;
  }
  return entries_;
}

}  // namespace fathom
