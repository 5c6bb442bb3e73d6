// SPDX-License-Identifier: MIT
// Application ADDRESS: a servlet in Tomcat whose sessions are kept by the MemcachedStore of docs/session-store.md, which
// test_applications.py puts in this folder's package. Serves on a free port, which it prints, until standard input ends.
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.util.logging.Level;
import java.util.logging.Logger;
import javax.servlet.http.*;
import org.apache.catalina.Context;
import org.apache.catalina.startup.Tomcat;

public final class Application extends HttpServlet {
    @Override
    protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
        HttpSession session = request.getSession();
        if (request.getServletPath().equals("/logout")) {
            session.invalidate();
            response.getWriter().print("out");
            return;
        }
        Integer visits = (Integer) session.getAttribute("visits");
        session.setAttribute("visits", visits == null ? 1 : visits + 1);
        response.getWriter().print(session.getAttribute("visits"));
    }

    public static void main(String[] arguments) throws Exception {
        System.setProperty("net.spy.log.LoggerImpl", "net.spy.memcached.compat.log.SunLogger");
        Logger.getLogger("").setLevel(Level.SEVERE);
        File folder = Files.createTempDirectory("forebay-tomcat-").toFile();
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(folder.getPath());
        tomcat.setPort(0);
        Context context = tomcat.addContext("", folder.getPath());
        Tomcat.addServlet(context, "visits", new Application());
        context.addServletMappingDecoded("/visit", "visits");
        context.addServletMappingDecoded("/logout", "visits");
        MemcachedStore.keepSessionsOf(context, arguments[0]);
        tomcat.start();
        System.out.println(tomcat.getConnector().getLocalPort());
        while (System.in.read() != -1) {
        }
        System.exit(0);
    }
}
