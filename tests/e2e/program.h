// Runs `fathom` as a user does, in a folder of its own that vanishes with the object.
#pragma once

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

namespace fathom::testing {

struct Outcome {
  int exit_code = -1;  // 128 + signal if it was killed
  std::string out, err;
};

inline std::string slurp(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// The build puts the tests into tests/ beside the programs.
inline std::string fathom_program() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path() / "fathom";
}

class Workplace {
 public:
  Workplace() {
    std::string name = (std::filesystem::temp_directory_path() / "fathom-e2e-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) std::abort();
    folder_ = name;
  }
  ~Workplace() { std::filesystem::remove_all(folder_); }
  Workplace(const Workplace&) = delete;
  Workplace& operator=(const Workplace&) = delete;

  std::filesystem::path path(const std::string& name) const { return folder_ / name; }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name), std::ios::binary) << text;
  }

  // The words after `fathom`. Neither a shell nor a terminal is involved.
  Outcome run(const std::vector<std::string>& words) const { return wait_for(start(words)); }

  // The same in the background, one at a time; `prepare` is called in the child.
  pid_t start(
      const std::vector<std::string>& words, const std::function<void()>& prepare = [] {}) const {
    for (const char* file : {"stdout.txt", "stderr.txt"}) std::filesystem::remove(path(file));
    const std::string program = fathom_program();
    const pid_t child = fork();
    if (child == 0) become(program, words, prepare);
    return child;
  }
  Outcome wait_for(pid_t child) const {
    int status = 0;
    waitpid(child, &status, 0);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
            slurp(path("stdout.txt")), slurp(path("stderr.txt"))};
  }

 private:
  // What throws here ends the child: it must never go on with the tests beside its parent.
  [[noreturn]] void become(const std::string& program, const std::vector<std::string>& words,
                           const std::function<void()>& prepare) const noexcept {
    if (chdir(folder_.c_str()) != 0) _exit(127);
    unsetenv("FATHOM_DATA");
    unsetenv("FATHOM_RUNS");
    for (const auto& [file, stream] : {std::pair{"stdout.txt", 1}, {"stderr.txt", 2}})
      dup2(open(path(file).c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600), stream);
    prepare();
    std::vector<char*> argv = {const_cast<char*>("fathom")};
    for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    execv(program.c_str(), argv.data());
    _exit(127);
  }

  std::filesystem::path folder_;
};

// Text with structure enough to be learned: about 2,700 characters, 25 different ones.
inline std::string small_text() {
  std::string text;
  for (int i = 0; i < 60; ++i)
    text += "the rain falls on hill " + std::to_string(i % 10) + " and the river rises\n";
  return text;
}

}  // namespace fathom::testing
