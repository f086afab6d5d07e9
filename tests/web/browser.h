// Debian's Chromium without a window, driven through chromedriver (W3C WebDriver).
#pragma once

#include <curl/curl.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <thread>

namespace fathom::testing {

class Browser {
 public:
  using Json = nlohmann::json;

  static constexpr char kDriver[] = "/usr/bin/chromedriver";
  static bool is_installed() { return ::access(kDriver, X_OK) == 0; }

  Browser() {
    port_ = free_port();
    driver_ = fork();
    if (driver_ == 0) {
      setpgid(0, 0);
      const int null = open("/dev/null", O_RDWR);
      for (const int stream : {0, 1, 2}) dup2(null, stream);
      const std::string port = "--port=" + std::to_string(port_);
      execl(kDriver, kDriver, port.c_str(), static_cast<char*>(nullptr));
      _exit(127);
    }
    const Json options = {
        {"binary", "/usr/bin/chromium"},
        {"args",
         {"--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
          "--disable-background-networking", "--disable-component-update", "--disable-sync",
          "--disable-dev-shm-usage", "--window-size=1000,800"}}};
    const Json wanted = {
        {"capabilities",
         {{"alwaysMatch", {{"browserName", "chrome"}, {"goog:chromeOptions", options}}}}}};
    for (int attempt = 0;; ++attempt) try {
        session_ = call("POST", "/session", wanted).at("sessionId");
        return;
      } catch (const std::runtime_error&) {
        if (attempt == 100) throw;
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
      }
  }
  ~Browser() {
    try {
      if (!session_.empty()) call("DELETE", "/session/" + session_, nullptr);
    } catch (const std::exception&) {  // it is killed anyway
    }
    kill(-driver_, SIGKILL);
    waitpid(driver_, nullptr, 0);
  }
  Browser(const Browser&) = delete;
  Browser& operator=(const Browser&) = delete;

  void open_file(const std::string& path) { post("/url", {{"url", "file://" + path}}); }
  // What the body of a JavaScript function returns.
  Json run(const std::string& script) {
    return post("/execute/sync", {{"script", script}, {"args", Json::array()}});
  }
  void hover(const std::string& css) {
    const Json element = post("/element", {{"using", "css selector"}, {"value", css}});
    const Json move = {
        {"type", "pointerMove"}, {"duration", 0}, {"x", 0}, {"y", 0}, {"origin", element}};
    act({{"type", "pointer"}, {"id", "mouse"}, {"actions", {move}}});
  }
  void press_tab() {
    act({{"type", "key"},
         {"id", "keys"},
         {"actions",
          {{{"type", "keyDown"}, {"value", "\uE004"}}, {{"type", "keyUp"}, {"value", "\uE004"}}}}});
  }
  // PNG, in base 64.
  std::string screenshot() { return call("GET", "/session/" + session_ + "/screenshot", nullptr); }

 private:
  static int free_port() {
    const int s = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    bind(s, reinterpret_cast<sockaddr*>(&address), size);
    getsockname(s, reinterpret_cast<sockaddr*>(&address), &size);
    close(s);
    return ntohs(address.sin_port);
  }

  Json post(const std::string& path, const Json& body) {
    return call("POST", "/session/" + session_ + path, body);
  }
  void act(const Json& source) { post("/actions", {{"actions", Json::array({source})}}); }

  Json call(const std::string& method, const std::string& path, const Json& body) {
    CURL* curl = curl_easy_init();
    const std::string url = "http://127.0.0.1:" + std::to_string(port_) + path;
    const std::string text = body.is_null() ? "" : body.dump();
    std::string answer;
    curl_slist* headers = curl_slist_append(nullptr, "Content-Type: application/json");
    curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method.c_str());
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, 60L);
    if (method == "POST") curl_easy_setopt(curl, CURLOPT_POSTFIELDS, text.c_str());
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
    curl_easy_setopt(
        curl, CURLOPT_WRITEFUNCTION, +[](char* data, size_t size, size_t count, void* out) {
          static_cast<std::string*>(out)->append(data, size * count);
          return size * count;
        });
    const CURLcode code = curl_easy_perform(curl);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    if (code != CURLE_OK) throw std::runtime_error(curl_easy_strerror(code));
    const Json value = Json::parse(answer).at("value");
    if (value.is_object() && value.contains("error")) throw std::runtime_error(value.dump());
    return value;
  }

  int port_ = 0;
  pid_t driver_ = -1;
  std::string session_;
};

}  // namespace fathom::testing
