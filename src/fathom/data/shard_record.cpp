#include "fathom/data/shard_record.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/io/files.h"
#include "fathom/io/json_text.h"

namespace fs = std::filesystem;

namespace fathom {
namespace {

constexpr char kRecordName[] = ".verified";
constexpr int64_t kRecordVersion = 1;
constexpr uint64_t kRecordBytes = 16 << 20;  // a longer one is none

template <class T>
T number(const nlohmann::json& object, const char* key) {
  const nlohmann::json& value = object.at(key);
  if (!value.is_number_integer()) fail("no number");
  if (value.is_number_unsigned() ? value.get<uint64_t>() > uint64_t(std::numeric_limits<T>::max())
                                 : std::is_unsigned_v<T>)
    fail("no such number");
  return value.get<T>();
}

std::optional<uint64_t> from_hex(const nlohmann::json& value) {
  if (!value.is_string()) return {};
  const auto& text = value.get_ref<const std::string&>();
  if (text.size() != 16 || text.find_first_not_of("0123456789abcdef") != text.npos) return {};
  return std::stoull(text, nullptr, 16);
}

}  // namespace

bool is_shard_record(std::string_view file) {
  const std::string unfinished = fmt::format(".{}.tmp-", kRecordName);
  return file == kRecordName || file.substr(0, unfinished.size()) == unfinished;
}

std::optional<FileStamp> file_stamp(const std::string& path) {
  struct stat s;
  if (::stat(path.c_str(), &s) != 0) return {};
  const auto ns = [](const timespec& t) { return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec; };
  return FileStamp{static_cast<uint64_t>(s.st_size), static_cast<uint64_t>(s.st_ino), ns(s.st_mtim),
                   ns(s.st_ctim)};
}

ShardRecord::ShardRecord(std::string folder, Rules rules)
    : folder_(std::move(folder)), rules_(rules) {
  const fs::path path = fs::path(folder_) / kRecordName;
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) return;
  try {
    read(path.string());
  } catch (const std::exception&) {  // also what JSON's own checks throw
    entries_.clear();
  }
}

void ShardRecord::read(const std::string& path) {
  const nlohmann::json record = parse_json(read_text_file(path, kRecordBytes), path);
  if (!record.is_object() || record.at("format_version") != kRecordVersion) return;
  const nlohmann::json& shards = record.at("shards");
  if (!shards.is_array()) return;
  for (const nlohmann::json& shard : shards) {
    const auto xxh3 = from_hex(shard.at("xxh3"));
    if (!xxh3 || !shard.at("file").is_string()) continue;
    Entry entry;
    entry.stamp = {number<uint64_t>(shard, "size"), number<uint64_t>(shard, "inode"),
                   number<int64_t>(shard, "mtime_ns"), number<int64_t>(shard, "ctime_ns")};
    entry.xxh3 = *xxh3;
    entry.largest = number<uint16_t>(shard, "largest");
    entries_[shard["file"]] = entry;
  }
}

OpenedShard ShardRecord::open(const std::string& file) {
  const std::string path = (fs::path(folder_) / file).string();
  const auto before = file_stamp(path);
  TokenShard shard(path);
  ShardFacts facts;
  const auto known = entries_.find(file);
  if (shard.file_size() > rules_.always_read && known != entries_.end() &&
      before == known->second.stamp && file_stamp(path) == before) {
    facts.xxh3 = known->second.xxh3;
    facts.largest = known->second.largest;
    return {std::move(shard), std::move(facts)};
  }
  facts = read_through(shard);
  // Of one and the same file, which was at rest: else it is read again the next time.
  const int64_t now = std::chrono::duration_cast<std::chrono::nanoseconds>(
                          std::chrono::system_clock::now().time_since_epoch())
                          .count();
  if (shard.file_size() > rules_.always_read && before && file_stamp(path) == before &&
      facts.other.empty() && before->ctime_ns < now - rules_.settled_ns && is_printable(file)) {
    entries_[file] = {*before, facts.xxh3, facts.largest};
    has_news_ = true;
  }
  return {std::move(shard), std::move(facts)};
}

void ShardRecord::keep() noexcept {
  if (!std::exchange(has_news_, false)) return;
  try {
    nlohmann::json shards = nlohmann::json::array();
    for (const auto& [file, entry] : entries_) {
      if (!fs::exists(fs::path(folder_) / file)) continue;
      shards.push_back({{"file", file},
                        {"size", entry.stamp.size},
                        {"inode", entry.stamp.inode},
                        {"mtime_ns", entry.stamp.mtime_ns},
                        {"ctime_ns", entry.stamp.ctime_ns},
                        {"xxh3", xxh3_hex(entry.xxh3)},
                        {"largest", entry.largest}});
    }
    const nlohmann::json record = {{"format_version", kRecordVersion}, {"shards", shards}};
    write_file_durably((fs::path(folder_) / kRecordName).string(),
                       as_bytes(json_text(record, 1) + "\n"));
  } catch (const std::exception&) {  // a folder that cannot be written: it is read the next time
  }
}

}  // namespace fathom
