# SPDX-License-Identifier: MIT
# rails_application.rb SNIPPET: a Rails application with the lines of the snippet in its configuration. See test_applications.py.

require 'action_controller/railtie'
require 'active_support/core_ext/numeric/time'
require 'socket'

class Shop < Rails::Application
  config.eager_load = false
  config.logger = Logger.new(nil)
  config.secret_key_base = 'not a secret in a test'
  config.hosts.clear
  class_eval File.read(ARGV[0])
end

class VisitsController < ActionController::Base
  def visit
    session[:visits] = (session[:visits] || 0) + 1
    render plain: session[:visits].to_s
  end

  def logout
    reset_session
    render plain: 'out'
  end
end

Shop.initialize!
Shop.routes.draw do
  get 'visit', to: 'visits#visit'
  get 'logout', to: 'visits#logout'
end

# A server for one browser: a request on each connection. Debian's ruby-rack comes with none of its own that needs nothing else.
def answer(connection)
  target = connection.gets.split[1]
  headers = {}
  while (line = connection.gets.chomp) != ''
    name, value = line.split(': ', 2)
    headers[name.downcase] = value
  end
  _, set, body = Shop.call(Rack::MockRequest.env_for("http://127.0.0.1#{target}", 'HTTP_COOKIE' => headers['cookie'].to_s))
  text = +''
  body.each { |part| text << part }
  cookies = set['Set-Cookie'].to_s.split("\n").map { |cookie| "Set-Cookie: #{cookie}\r\n" }.join
  connection.write("HTTP/1.1 200 OK\r\nContent-Length: #{text.bytesize}\r\n#{cookies}Connection: close\r\n\r\n#{text}")
  connection.close
end

listener = TCPServer.new('127.0.0.1', 0)
Thread.new { loop { answer(listener.accept) } }
puts listener.addr[1]
$stdout.flush
$stdin.read
