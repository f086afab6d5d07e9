#include "fathom/data/document_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/data/corpus.h"
#include "fathom/data/corpus_name.h"
#include "fathom/data/download.h"
#include "fathom/data/shard_names.h"
#include "fathom/io/files.h"

namespace fs = std::filesystem;

namespace fathom {
namespace {

// Of a folder's files those are taken that end so, once the ending of a packer is gone.
constexpr std::array<const char*, 9> kEndings = {".jsonl", ".ndjson", ".parquet", ".txt", ".tokens",
                                                 ".raw",   ".tar",    ".bin",     ".npy"};

bool is_taken(fs::path name) {
  const std::string file = name.string();
  if (file.front() == '.') return false;
  for (const char* packed : {".gz", ".zst", ".xz", ".bz2"})
    if (name.extension() == packed) {
      // Such as openwebtext's urlsf_subset00-1_data.xz
      name.replace_extension();
      if (!name.has_extension()) return true;
      break;
    }
  const std::string ending = name.extension().string();
  return std::find(kEndings.begin(), kEndings.end(), ending) != kEndings.end();
}

std::vector<std::string> files_in(const std::string& folder) {
  std::vector<std::string> files;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::error_code unknown;  // then it is none
    if (it->is_regular_file(unknown) && is_taken(it->path().filename()))
      files.push_back(it->path().string());
  }
  if (error) fail_system("list", folder, error.value());
  std::sort(files.begin(), files.end());
  if (files.empty())
    misuse(fmt::format("the folder {} holds none of the files that are read", in_quotes(folder)),
           fmt::format("they end in {}, also with .gz, .zst, .xz or .bz2 behind it",
                       join({kEndings.begin(), kEndings.end()}, ", ")));
  return files;
}

std::vector<std::string> given_files(const PrepareOptions& options) {
  std::vector<std::string> given = {options.input}, files;
  given.insert(given.end(), options.more_inputs.begin(), options.more_inputs.end());
  for (const std::string& path : given) {
    const PathKind kind = kind_of(path);
    if (kind == PathKind::kNothing)
      misuse(fmt::format("there is no file {}", in_quotes(path)),
             "give files, or a folder of them");
    if (kind == PathKind::kStream)
      misuse(fmt::format("{} is no file, and is wanted more than once", in_quotes(path)),
             "put what comes from it into a file first");
    const std::vector<std::string> some =
        kind == PathKind::kFolder ? files_in(path) : std::vector<std::string>{path};
    files.insert(files.end(), some.begin(), some.end());
  }
  return files;
}

// Where it is kept: the last word of its address, in a folder for what that leaves out. So another
// address is another file.
std::string place_of(const fs::path& folder, const std::string& url) {
  const size_t query = std::min(url.find('?'), url.size());
  const size_t begin = url.rfind('/', query) + 1;
  const std::string word = url.substr(begin, query - begin), name = corpus_name_of(word);
  const std::string rest = name == word ? url.substr(0, begin) + url.substr(query) : url;
  return (folder / sha256_hex(rest).substr(0, 12) / name).string();
}

// The first parts that fit, as many as there are room for.
std::vector<DocumentFile> download_parts(const PrepareOptions& options, const KnownCorpus& known,
                                         const PrepareProgress& progress,
                                         std::vector<std::string>& notices) {
  std::vector<CorpusPart> parts = known.parts;
  if (!options.url.empty()) parts = {{options.url}};
  const fs::path folder = fs::path(data_root()) / "downloads" / known.name;
  const std::string hint =
      fmt::format("`fathom prepare {} --input FILE ...` takes files that you have", known.name);
  std::vector<DocumentFile> files;
  uint64_t bytes = 0;
  for (const CorpusPart& part : parts) {
    const std::string path = place_of(folder, part.url);
    DownloadOptions request;
    request.url = part.url;
    request.timeout = options.timeout;
    request.max_bytes = static_cast<uint64_t>(options.max_bytes) - bytes;
    request.progress = [&](uint64_t done, uint64_t total) {
      if (progress) progress("download", done, total);
    };
    if (request.max_bytes == 0) break;
    try {
      download_file(request, path, part.bytes, part.sha256, hint);
    } catch (const TooLong&) {
      if (files.empty()) throw;
      break;
    }
    bytes += fs::file_size(path);
    files.push_back({path, part.split});
  }
  if (files.size() < parts.size())
    notices.push_back(fmt::format("took the first {} of {} files, for max_bytes is {}",
                                  files.size(), parts.size(), with_commas(options.max_bytes)));
  notices.push_back(
      fmt::format("the downloaded files stay in {}: remove them when they are no "
                  "longer wanted",
                  folder.string()));
  return files;
}

}  // namespace

std::string split_of_name(const std::string& file) {
  const std::string name = fs::path(file).filename().string();
  if (name.find("train") != name.npos) return "train";
  if (name.find("valid") != name.npos || name.find("val.") != name.npos) return "val";
  if (name.find("test") != name.npos) return "test";
  return "";
}

std::vector<DocumentFile> document_files(const PrepareOptions& options, const KnownCorpus& known,
                                         const PrepareProgress& progress,
                                         std::vector<std::string>& notices) {
  if (options.input.empty()) return download_parts(options, known, progress, notices);
  std::vector<DocumentFile> files;
  size_t shards = 0;
  for (const std::string& path : given_files(options)) {
    const auto shard = parse_shard_name(fs::path(path).filename().string());
    shards += shard.has_value();
    files.push_back({path,
                     shard              ? shard->split
                     : known.has_splits ? split_of_name(path)
                                        : "",
                     shard.has_value()});
  }
  if (shards > 0 && shards < files.size())
    misuse("some files are shards of tokens, and some are texts", "give the one or the others");
  if (shards > 0 || !known.has_splits) return files;
  for (const DocumentFile& file : files)
    if (file.split.empty())
      misuse(fmt::format("{} does not say whether it is for training, validation or test",
                         in_quotes(file.path)),
             "the published files have train, valid or test in their names");
  return files;
}

}  // namespace fathom
