#include "fathom/io/checkpoint_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/io/checkpoint_manifest.h"
#include "fathom/io/posix.h"

namespace fs = std::filesystem;

namespace fathom {
namespace {

constexpr char kStateName[] = "state.json";
constexpr uint64_t kMaxStateBytes = 64 << 20;
constexpr std::string_view kNumberedPrefix = "step-";
constexpr size_t kMaxStepDigits = 18;  // fits 63 bits

// The names in a folder, sorted, hidden ones too.
std::set<std::string> names_in(const std::string& folder) {
  std::set<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    names.insert(it->path().filename().string());
  if (error) posix::fail_errno("list", folder, error.value());
  return names;
}

constexpr std::string_view kStagePrefix = "stage-";

// The step of `step-000001000`; none if numbered_name() writes no such name.
std::optional<int64_t> step_of_name(std::string_view name) {
  if (name.substr(0, kNumberedPrefix.size()) != kNumberedPrefix) return {};
  const std::string digits(name.substr(kNumberedPrefix.size()));
  if (digits.empty() || digits.size() > kMaxStepDigits) return {};
  if (digits.find_first_not_of("0123456789") != digits.npos) return {};
  const int64_t step = std::stoll(digits);
  if (numbered_name(step) != name) return {};
  return step;
}

// Steps of the numbered checkpoints, the highest first; with those that a crash set aside.
std::vector<int64_t> numbered_steps(const std::string& checkpoints_folder) {
  std::set<int64_t, std::greater<>> steps;
  for (const std::string& entry : names_in(checkpoints_folder)) {
    std::error_code unknown;
    if (!fs::is_directory(fs::symlink_status(fs::path(checkpoints_folder) / entry, unknown)))
      continue;
    std::string_view name = entry;
    const std::string_view aside = posix::kAsideSuffix;
    if (name[0] == '.' && name.size() > aside.size() &&
        name.substr(name.size() - aside.size()) == aside)
      name = name.substr(1, name.size() - aside.size() - 1);
    if (const auto step = step_of_name(name)) steps.insert(*step);
  }
  return {steps.begin(), steps.end()};
}

// Removes what writers of checkpoints beside `folder` left when they died, before a new one may
// die: so there is never more than one. Only their next attempt at the same name would do it
// otherwise, and a numbered name comes once.
const std::string& sweep_dead_writers(const std::string& folder) {
  const std::string parent = posix::Target(folder).folder;
  std::error_code unknown;
  if (!fs::is_directory(parent, unknown)) return folder;  // whoever writes there will say it
  for (const std::string& entry : names_in(parent)) {
    const size_t suffix = entry.find(posix::kStagingSuffix);
    if (entry[0] != '.' || suffix == entry.npos) continue;
    const std::string name = entry.substr(1, suffix - 1);
    if (name == "last" || name == "best" || name.rfind(kStagePrefix, 0) == 0 || step_of_name(name))
      posix::sweep_siblings(parent, fmt::format(".{}{}", name, posix::kStagingSuffix));
  }
  return folder;
}

// Bytes of a regular file in `folder`; anything else refuses the checkpoint.
int64_t size_of(const std::string& folder, const std::string& name) {
  struct stat status;
  if (::lstat((folder + "/" + name).c_str(), &status) != 0) {
    if (errno != ENOENT) posix::fail_errno("look at", folder + "/" + name, errno);
    refuse_checkpoint(folder, "incomplete", name + " is missing");
  }
  if (!S_ISREG(status.st_mode)) refuse_checkpoint(folder, "damaged", name + " is not a file");
  return status.st_size;
}

std::vector<ManifestFile> read_manifest(const std::string& folder) {
  if (size_of(folder, kManifestName) > static_cast<int64_t>(kMaxManifestBytes))
    refuse_checkpoint(folder, "damaged",
                      fmt::format("{} is longer than {} bytes", kManifestName, kMaxManifestBytes));
  const std::string text = read_text_file(folder + "/" + kManifestName, kMaxManifestBytes);
  return parse_manifest(as_bytes(text), folder);
}

// Cheap comparisons first.
void check_files(const std::string& folder) {
  const std::vector<ManifestFile> files = read_manifest(folder);
  for (const ManifestFile& file : files) {
    const int64_t size = size_of(folder, file.name);
    if (size != file.size)
      refuse_checkpoint(folder, size < file.size ? "incomplete" : "damaged",
                        fmt::format("{} has {} bytes instead of {}", file.name, with_commas(size),
                                    with_commas(file.size)));
  }
  for (const ManifestFile& file : files) {
    if (xxh3_file(folder + "/" + file.name) == file.xxh3) continue;
    const bool cut = size_of(folder, file.name) < file.size;
    refuse_checkpoint(folder, cut ? "incomplete" : "damaged",
                      cut ? file.name + " was cut short while it was being read"
                          : fmt::format("the checksum of {} is not the recorded one", file.name));
  }
}

// Runs `action` on the folder that is now at `name`, again if another one is there afterwards: half
// of one and half of the next looks like damage, or like nothing at all.
template <class Action>
auto with_steady_folder(const std::string& name, Action action) {
  constexpr int kAttempts = 100;
  for (int attempt = 1;; ++attempt) {
    const std::string folder = folder_to_read(name);
    const posix::Fd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.is_open()) {
      if (errno != ENOENT) posix::fail_errno("open", folder, errno);
      if (attempt < kAttempts) continue;  // a writer may be between two renames
      refuse_checkpoint(folder, "incomplete", "there is no such folder");
    }
    const auto is_steady = [&] {
      // While `fd` is open no other folder can have its inode number.
      struct stat opened, now;
      return attempt == kAttempts ||
             (::fstat(fd.get(), &opened) == 0 && ::stat(folder.c_str(), &now) == 0 &&
              opened.st_ino == now.st_ino && opened.st_dev == now.st_dev);
    };
    try {
      auto result = action(folder);
      if (is_steady()) return result;
    } catch (const Error&) {
      if (is_steady()) throw;
    }
  }
}

// `"step"` of state.json, which need not be intact otherwise.
int64_t read_step(const std::string& folder) {
  using Json = nlohmann::json;
  size_of(folder, kStateName);
  const std::string text = read_text_file(folder + "/" + kStateName, kMaxStateBytes);
  // Keeps that one member of the outermost object, so that a hostile file is not built up in
  // memory.
  const auto only_step = [](int depth, Json::parse_event_t event, Json& parsed) {
    return event != Json::parse_event_t::key || (depth == 1 && parsed == "step");
  };
  const Json state = Json::parse(text, only_step, /*allow_exceptions=*/false);
  const auto step = state.is_object() ? state.find("step") : state.end();
  if (!state.is_object() || step == state.end() || !step->is_number_unsigned() ||
      *step > static_cast<uint64_t>(INT64_MAX))
    refuse_checkpoint(folder, "damaged", fmt::format("{} tells no step", kStateName));
  return *step;
}

// None if newest_complete() would not take it.
std::optional<int64_t> complete_step(const std::string& folder) {
  try {
    verify_checkpoint(folder);
    return with_steady_folder(folder, read_step);
  } catch (const Error&) {
    return {};
  }
}

// Numbered checkpoints up to this step may go: a complete one of `kept`, or `last`, makes up for
// them. -1 if nothing does.
int64_t covered_step(const std::string& checkpoints_folder, const std::vector<int64_t>& kept) {
  for (const int64_t step : kept)
    if (complete_step(checkpoints_folder + "/" + numbered_name(step))) return step - 1;
  return complete_step(checkpoints_folder + "/last").value_or(-1);
}

// By a rename to the name of a dead writer's folder: whatever happens then, the next writer sweeps
// it.
void remove_checkpoint(const std::string& checkpoints_folder, const std::string& name) {
  const posix::Target target(checkpoints_folder + "/" + name);
  const std::string removed = target.sibling(std::string(posix::kStagingSuffix) + "removed");
  for (const std::string& path : {target.sibling(posix::kAsideSuffix), target.path()}) {
    posix::remove_quietly(removed);
    if (std::rename(path.c_str(), removed.c_str()) != 0 && errno != ENOENT)
      posix::fail_errno("remove", path, errno);
  }
  posix::remove_quietly(removed);
}

// Of the checkpoints that are there, in the order of preference at equal steps.
std::vector<std::string> checkpoint_names(const std::string& checkpoints_folder) {
  if (kind_of(checkpoints_folder) == PathKind::kNothing) return {};
  std::vector<std::string> names, there;
  names.emplace_back("last");
  for (const int64_t step : numbered_steps(checkpoints_folder))
    names.push_back(numbered_name(step));
  names.emplace_back("best");
  for (const std::string& name : names_in(checkpoints_folder))
    if (name.rfind(kStagePrefix, 0) == 0) names.push_back(name);
  for (const std::string& name : names)
    if (kind_of(folder_to_read(checkpoints_folder + "/" + name)) != PathKind::kNothing)
      there.push_back(name);
  return there;
}

// False for a checkpoint of a later step, and for one that does not tell its step.
bool tells_at_most(const std::string& folder, int64_t step) {
  try {
    return with_steady_folder(folder, read_step) <= step;
  } catch (const Error&) {
    return false;
  }
}

// For a reason that is no checkpoint's own, an older one must not be taken in its place: to go on
// from there would lose steps that the same command has a moment later.
void rethrow_passing(const Error& error) {
  const auto* system = dynamic_cast<const SystemError*>(&error);
  if (system == nullptr) return;
  for (const int passing : {EMFILE, ENFILE, ENOMEM, EACCES, EPERM})
    if (system->error() == passing) throw SystemError(*system);
}

struct Candidate {
  std::string name;  // folder_to_read() finds it
  int64_t step = 0;
};

}  // namespace

CheckpointWriter::CheckpointWriter(const std::string& folder)
    : staged_(sweep_dead_writers(folder)) {}

std::string CheckpointWriter::file(const std::string& name) {
  wanted_.push_back(name);
  return path() + "/" + name;
}

void CheckpointWriter::commit() {
  std::set<std::string> names = names_in(path());
  for (const std::string& name : wanted_)
    if (names.count(name) == 0) posix::fail_errno("read", path() + "/" + name, ENOENT);
  names.erase(kManifestName);
  if (names.empty() || names.size() > kMaxManifestFiles)
    fail(fmt::format("a checkpoint has 1 to {} files, not {}", kMaxManifestFiles, names.size()));
  std::vector<ManifestFile> files;
  for (const std::string& name : names) {
    const std::string file = path() + "/" + name;
    std::error_code unknown;  // then it is no file
    const fs::file_type type = fs::symlink_status(file, unknown).type();
    if (type == fs::file_type::not_found) posix::fail_errno("read", file, ENOENT);
    if (!is_plain_file_name(name) || type != fs::file_type::regular)
      fail(fmt::format("{} cannot be part of a checkpoint: it is no file, or not named like one",
                       in_quotes(name)));
    files.push_back({name, size_of(path(), name), xxh3_file(file)});
  }
  write_file_durably(path() + "/" + kManifestName, as_bytes(manifest_text(files)));
  staged_.commit();
}

void verify_checkpoint(const std::string& folder) {
  read_checkpoint(folder, [](const std::string&) {});
}

void read_checkpoint(const std::string& folder,
                     const std::function<void(const std::string&)>& read) {
  with_steady_folder(folder, [&](const std::string& steady) {
    check_files(steady);
    read(steady);
    return true;
  });
}

std::optional<CheckpointChoice> newest_complete(const std::string& checkpoints_folder,
                                                std::vector<std::string>* reasons) {
  CheckpointChoice choice;
  std::vector<Candidate> candidates;
  for (const std::string& name : checkpoint_names(checkpoints_folder)) {
    const std::string path = checkpoints_folder + "/" + name;
    try {
      candidates.push_back({path, with_steady_folder(path, read_step)});
    } catch (const Error& error) {
      rethrow_passing(error);
      choice.skipped.push_back(error.what());
    }
  }
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) { return a.step > b.step; });
  for (const Candidate& candidate : candidates) {
    try {
      verify_checkpoint(candidate.name);
      choice.folder = folder_to_read(candidate.name);
      choice.step = candidate.step;
      return choice;
    } catch (const Error& error) {
      rethrow_passing(error);
      choice.skipped.push_back(error.what());
    }
  }
  if (reasons != nullptr) *reasons = std::move(choice.skipped);
  return {};
}

std::string set_aside_beyond(const std::string& checkpoints_folder, int64_t step) {
  std::string aside;
  for (const std::string& name : checkpoint_names(checkpoints_folder)) {
    const std::string path = folder_to_read(checkpoints_folder + "/" + name);
    if (tells_at_most(path, step)) continue;
    for (int i = 1; aside.empty(); ++i) {
      const std::string free = fmt::format("{}-{}", checkpoints_folder, i);
      std::error_code error;
      if (fs::create_directory(free, error)) aside = free;
      if (error) posix::fail_errno("create", free, error.value());
    }
    if (std::rename(path.c_str(), (aside + "/" + name).c_str()) != 0)
      posix::fail_errno("move", path, errno);
  }
  return aside;
}

void prune_numbered(const std::string& checkpoints_folder, int64_t keep) {
  const std::vector<int64_t> steps = numbered_steps(checkpoints_folder);
  if (keep < 0 || static_cast<uint64_t>(keep) >= steps.size()) return;
  const std::vector<int64_t> kept(steps.begin(), steps.begin() + keep);
  const int64_t covered = covered_step(checkpoints_folder, kept);
  // The oldest first: if this is interrupted, the newer ones are still there.
  for (auto step = steps.rbegin(); step != steps.rend() - keep; ++step)
    if (*step <= covered) remove_checkpoint(checkpoints_folder, numbered_name(*step));
}

std::string stage_checkpoint(const std::string& stage) {
  return std::string(kStagePrefix) + stage;
}

std::string numbered_name(int64_t step) {
  return fmt::format("{}{:09}", kNumberedPrefix, step);
}

}  // namespace fathom
